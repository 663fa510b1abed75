"""What an operator is asked for when doing something with a post. The rules are the services'."""

from typing import Any

from django import forms

from audit.admin.fields import Moment
from content.choices import Outcome

FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


def words(**attrs: Any) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": 3, "required": True, **attrs})


class PostForm(forms.Form):
    """Why; a time, where the verb has one; the id of a post that is gone, where one was reported."""

    reason = forms.CharField(required=False, widget=words())
    scheduled_for = forms.DateTimeField(
        required=False,
        input_formats=FORMATS,
        widget=Moment,
        error_messages={"invalid": "Write the time as a date and a time, or leave it empty."},
    )
    platform_post_id = forms.CharField(required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))


class SettleForm(forms.Form):
    """What somebody found who looked."""

    outcome = forms.ChoiceField(
        required=False,
        choices=Outcome.choices,
        widget=forms.RadioSelect(attrs={"required": True}),
        error_messages={"invalid_choice": "Choose one of the three."},
    )
    platform_post_id = forms.CharField(required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    published_at = forms.DateTimeField(
        required=False,
        input_formats=FORMATS,
        widget=Moment,
        error_messages={"invalid": "Write the time at which it appeared as a date and a time, or leave it empty."},
    )
    reason = forms.CharField(required=False, widget=words())


def first_error(form: forms.Form) -> str:
    said = (str(error) for errors in form.errors.values() for error in errors)
    return next(said, "This form came empty; fill it in.")
