"""The switch for everything: halt, and resume."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from audit.context import Actor
from audit.errors import Refused
from campaigns.choices import SystemVerb
from campaigns.forms import ControlForm
from campaigns.models import SystemControl
from campaigns.services import halt_everything, resume_everything
from campaigns.services.consequences import consequences_everywhere, many
from campaigns.services.control import SYSTEM_PERMISSION, overdue_everywhere
from campaigns.views.confirm import demand, first_error, page

NOTE = {
    SystemVerb.HALT: (
        "For every campaign at once: the agents are cut off, nothing is handed out and nothing is published until "
        "somebody resumes. What they had begun is done again then."
    ),
    SystemVerb.RESUME: "Work is handed out and posts leave again. Campaigns that were paused themselves stay so.",
}
DONE = {SystemVerb.HALT: "Everything is halted.", SystemVerb.RESUME: "Everything runs again."}


def system_control(request: HttpRequest, verb: str) -> HttpResponse:
    demand(request, SYSTEM_PERMISSION, "halt or resume everything")
    if verb not in SystemVerb.values:
        raise Http404("Nothing of that name can be done to everything.")
    chosen, form = SystemVerb(verb), ControlForm(request.POST or None)
    if request.method != "POST":
        return _page(request, chosen, form)
    if not form.is_valid():
        return _page(request, chosen, form, refusal=first_error(form), status=422)
    actor, reason = Actor.human(request.user), form.cleaned_data["reason"]
    try:
        if chosen == SystemVerb.HALT:
            halt_everything(actor=actor, reason=reason)
        else:
            resume_everything(actor=actor, reason=reason, backlog=form.cleaned_data["backlog"])
    except Refused as refusal:
        return _page(request, chosen, form, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, DONE[chosen])
    return HttpResponseRedirect(reverse("admin:index"))


def _page(
    request: HttpRequest, verb: SystemVerb, form: ControlForm, refusal: str = "", status: int = 200
) -> HttpResponse:
    system, now = SystemControl.objects.get(), timezone.now()
    late = overdue_everywhere() if verb == SystemVerb.RESUME else 0
    possible = system.halted == (verb == SystemVerb.RESUME)
    if not possible and not refusal:
        refusal, status = f"Everything is {'halted' if system.halted else 'running'} already.", 409
    return page(
        request,
        "system_control",
        status,
        title=f"{verb.label} everything?",
        possible=possible,
        refusal=refusal,
        rows=consequences_everywhere(verb, now) if possible else [],
        counted_at=now,
        note=NOTE[verb],
        button=f"{verb.label} everything now",
        danger=verb == SystemVerb.HALT,
        never_by_itself=verb == SystemVerb.HALT,
        overdue=many(late, "post") if late else "",
        back=reverse("admin:index"),
        form=form,
    )
