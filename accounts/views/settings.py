"""What a person chooses for themselves: name, zone, what they are told of and how; and where they are signed in."""

from datetime import timedelta

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.choices import zone_of_browser
from accounts.own_forms import PasswordForm, SettingsForm
from accounts.services.second_factor import codes_left, has_second_factor, must_have_second_factor
from accounts.services.sessions import end_sessions, open_sessions
from accounts.views.second_factor import person_of
from audit.admin.cells import duration
from audit.context import Actor


def you(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    form = SettingsForm(request.POST or None, instance=person, zone_of_browser=zone_of_browser(request))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your settings are saved.")
        return HttpResponseRedirect(reverse("admin:you"))
    context = {
        **admin.site.each_context(request),
        "title": "Your settings",
        "form": form,
        "person": person,
        "groups": ", ".join(sorted(group.name for group in person.groups.all())),
        "second_factor": has_second_factor(person),
        "second_factor_required": must_have_second_factor(person),
        "codes_left": codes_left(person),
    }
    return TemplateResponse(request, "accounts/you.html", context)


def sessions(request: HttpRequest) -> HttpResponse:
    """Where one is signed in, and the end of all but this."""
    person, here = person_of(request), request.session.session_key
    form = PasswordForm(request)
    if request.method == "POST" and form.is_valid():
        ended = end_sessions(person=person, actor=Actor.human(person), but=here)
        messages.success(request, f"You are signed out everywhere else: {ended} session{'' if ended == 1 else 's'}.")
        return HttpResponseRedirect(reverse("admin:sessions"))
    context = {
        **admin.site.each_context(request),
        "title": "Where you are signed in",
        "form": form,
        "sessions": open_sessions(person),
        "here": here,
        "idle": duration(timedelta(seconds=settings.SESSION_IDLE_SECONDS)),
        "most": duration(timedelta(seconds=settings.SESSION_MOST_SECONDS)),
    }
    return TemplateResponse(request, "accounts/sessions.html", context)
