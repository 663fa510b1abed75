"""The page on which an operator confirms a control verb: consequences first, then the reason, then the button."""

from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from audit.admin.cells import admin_url
from audit.context import Actor
from audit.errors import Refused
from campaigns.choices import VERB_COLOUR, CampaignVerb
from campaigns.forms import ControlForm
from campaigns.models import Campaign
from campaigns.services import control_campaign, possible_verbs
from campaigns.services.consequences import consequences
from campaigns.services.control import PERMISSION, overdue

DONE = {
    CampaignVerb.ACTIVATE: "is active",
    CampaignVerb.PAUSE: "is paused",
    CampaignVerb.HALT: "is halted",
    CampaignVerb.RESUME: "is active again",
    CampaignVerb.COMPLETE: "is completed",
    CampaignVerb.STOP: "is stopped for good",
}
NOTE = {
    CampaignVerb.HALT: "The agents are cut off at once. What they had begun is done again after you resume.",
    CampaignVerb.STOP: "This is final: a stopped campaign never runs again.",
    CampaignVerb.COMPLETE: "This is final: a completed campaign never runs again.",
    CampaignVerb.PAUSE: "No new work starts. Running work may finish.",
}


def may_control(request: HttpRequest) -> bool:
    return request.user.has_perm(PERMISSION)


def control(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    if not may_control(request):
        raise PermissionDenied(
            f"You may not control campaigns. Ask an Administrator for the permission “{PERMISSION}”."
        )
    campaign = Campaign.objects.select_related("controlled_by").filter(pk=key, deleted_at=None).first()
    if campaign is None or verb not in CampaignVerb.values:
        raise Http404("There is no such campaign, or nothing of that name can be done to it.")
    form = ControlForm(request.POST or None)
    chosen = CampaignVerb(verb)
    if request.method != "POST":
        return _page(request, campaign, chosen, form)
    if not form.is_valid():
        return _page(request, campaign, chosen, form, refusal=_first_error(form), status=422)
    try:
        controlled = _do(campaign, chosen, form, Actor.human(request.user))
    except Refused as refusal:
        campaign = Campaign.objects.select_related("controlled_by").get(pk=key)
        return _page(request, campaign, chosen, form, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, f"“{controlled}” {DONE[chosen]}.")
    return HttpResponseRedirect(admin_url(controlled))


def _do(campaign: Campaign, verb: CampaignVerb, form: ControlForm, actor: Actor) -> Campaign:
    arguments = {"campaign_id": campaign.pk, "actor": actor, "reason": form.cleaned_data["reason"]}
    if verb == CampaignVerb.PAUSE:
        arguments["resume_at"] = form.cleaned_data["resume_at"]
    if verb == CampaignVerb.RESUME:
        arguments["backlog"] = form.cleaned_data["backlog"]
    return control_campaign(verb, **arguments)


def _first_error(form: ControlForm) -> str:
    return next(str(error) for errors in form.errors.values() for error in errors)


def _page(
    request: HttpRequest,
    campaign: Campaign,
    verb: CampaignVerb,
    form: ControlForm,
    *,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    possible = possible_verbs(campaign)
    if verb not in possible and not refusal:
        refusal, status = f"Campaign “{campaign}” is {campaign.state}; it cannot be changed in this way now.", 409
    context = {
        **admin.site.each_context(request),
        "title": f"{verb.label} “{campaign}”?",
        "campaign": campaign,
        "verb": verb,
        "danger": VERB_COLOUR.get(verb) == "bad",
        "possible": verb in possible,
        "pause_instead": verb == CampaignVerb.HALT and CampaignVerb.PAUSE in possible,
        "asks_when": verb == CampaignVerb.PAUSE,
        "overdue": overdue(campaign) if verb == CampaignVerb.RESUME else 0,
        "note": NOTE.get(verb, ""),
        "rows": consequences(campaign, verb) if verb in possible else [],
        "form": form,
        "refusal": refusal,
    }
    return TemplateResponse(request, "admin/campaigns/campaign/control.html", context, status=status)
