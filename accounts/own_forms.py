"""The forms that people fill in for themselves: settings, a new password, the address for a link."""

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest

from accounts.choices import CAN_ACT, Channel, NotificationType, known_zones
from accounts.models import User

CHOOSE_LATER = "as the browser says"


class SettingsForm(forms.ModelForm[User]):
    """One choice for each type of notification that the person could do something about."""

    class Meta:
        model = User
        fields = ["display_name", "time_zone"]

    def __init__(self, *args: Any, zone_of_browser: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "label_suffix": ""})
        person = self.instance
        self.fields["display_name"] = forms.CharField(
            max_length=100, required=False, help_text="The name that others see.", label="Name"
        )
        said = f"{CHOOSE_LATER} ({zone_of_browser})" if zone_of_browser in known_zones() else CHOOSE_LATER
        self.fields["time_zone"] = forms.ChoiceField(
            choices=[("", said), *_zones(person.time_zone)],
            required=False,
            label="Time zone",
            help_text="In which times are shown, and read from forms.",
        )
        for type in told_of(person):
            self.fields[type.value] = forms.ChoiceField(
                choices=Channel.choices,
                initial=person.channel(type),
                label=str(type.label).capitalize(),
            )

    def choices(self) -> list[forms.BoundField]:
        return [self[type.value] for type in told_of(self.instance)]

    def save(self, commit: bool = True) -> User:
        chosen = {type.value: self.cleaned_data[type.value] for type in told_of(self.instance)}
        self.instance.notify_by = {**self.instance.notify_by, **chosen}
        return super().save(commit)


def told_of(person: User) -> list[NotificationType]:
    """The types of which the person would be told at all."""
    return [type for type in NotificationType if any(map(person.has_perm, CAN_ACT[type]))]


def _zones(chosen: str) -> list[tuple[str, str]]:
    """Zones that are named after places, and UTC; the chosen one, whatever it is."""
    names = {name for name in known_zones() if "/" in name and not name.startswith(("Etc/", "SystemV/"))}
    return [(name, name.replace("_", " ")) for name in sorted(names | {"UTC", chosen} - {""})]


class JoinForm(SetPasswordForm):  # type: ignore[type-arg]
    """Whoever was invited says who they are, and chooses the password."""

    display_name = forms.CharField(
        max_length=100, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    field_order = ["display_name", "new_password1", "new_password2"]


class AddressForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}),
    )


class PasswordForm(forms.Form):
    """Asked again of whoever is signed in, before what a session that was left open must not do."""

    password = forms.CharField(
        label="Your password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.POST or None, label_suffix="")
        self.request = request

    def clean_password(self) -> str:
        """By the way that counts wrong ones, and says no after too many."""
        given: str = self.cleaned_data["password"]
        if authenticate(self.request, username=self.request.user.get_username(), password=given) != self.request.user:
            raise forms.ValidationError("This is not your password.")
        return given


class CodeForm(forms.Form):
    code = forms.CharField(
        label="Code",
        max_length=20,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}
        ),
    )


class FactorForm(PasswordForm, CodeForm):
    """Whoever sets up a second factor shows the first, too."""
