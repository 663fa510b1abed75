"""What a person chooses for themselves: name, zone, what they are told of and how."""

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.models import User
from accounts.own_forms import SettingsForm
from accounts.services.second_factor import codes_left, has_second_factor, must_have_second_factor


def you(request: HttpRequest) -> HttpResponse:
    person = User.objects.get(pk=request.user.pk)
    form = SettingsForm(request.POST or None, instance=person, zone_of_browser=request.COOKIES.get("zone", ""))
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
