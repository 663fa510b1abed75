"""Control of campaigns: of one, and of several at once."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from audit.admin.cells import admin_url
from audit.context import Actor
from audit.errors import Refused
from campaigns.choices import VERB_COLOUR, CampaignVerb
from campaigns.forms import ControlForm
from campaigns.models import Campaign
from campaigns.services import control_campaign, possible_verbs
from campaigns.services.consequences import FATES, consequences, count_each, count_together, in_words, many
from campaigns.services.control import PERMISSION, overdue
from campaigns.views.confirm import chosen, demand, first_error, one_after_other, page

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


def _verb(verb: str) -> CampaignVerb:
    if verb not in CampaignVerb.values:
        raise Http404("Nothing of that name can be done to a campaign.")
    return CampaignVerb(verb)


def control(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    demand(request, PERMISSION, "control campaigns")
    chosen_verb = _verb(verb)
    campaign = Campaign.objects.select_related("controlled_by").filter(pk=key, deleted_at=None).first()
    if campaign is None:
        raise Http404("There is no such campaign.")
    form = ControlForm(request.POST or None)
    if request.method != "POST":
        return _page(request, campaign, chosen_verb, form)
    if not form.is_valid():
        return _page(request, campaign, chosen_verb, form, refusal=first_error(form), status=422)
    try:
        controlled = _do(campaign, chosen_verb, form, Actor.human(request.user))
    except Refused as refusal:
        campaign = Campaign.objects.select_related("controlled_by").get(pk=key)
        return _page(request, campaign, chosen_verb, form, refusal=refusal.sentence, status=refusal.status)
    messages.success(request, f"“{controlled}” {DONE[chosen_verb]}.")
    return HttpResponseRedirect(admin_url(controlled))


def _do(campaign: Campaign, verb: CampaignVerb, form: ControlForm, actor: Actor) -> Campaign:
    arguments = {"campaign_id": campaign.pk, "actor": actor, "reason": form.cleaned_data["reason"]}
    if verb == CampaignVerb.PAUSE:
        arguments["resume_at"] = form.cleaned_data["resume_at"]
    if verb == CampaignVerb.RESUME:
        arguments["backlog"] = form.cleaned_data["backlog"]
    return control_campaign(verb, **arguments)


def _page(
    request: HttpRequest,
    campaign: Campaign,
    verb: CampaignVerb,
    form: ControlForm,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    possible = verb in possible_verbs(campaign)
    if not possible and not refusal:
        refusal, status = f"Campaign “{campaign}” is {campaign.state}; it cannot be changed in this way now.", 409
    now = timezone.now()
    return page(
        request,
        "campaign/control",
        status,
        title=f"{verb.label} “{campaign}”?",
        campaign=campaign,
        possible=possible,
        refusal=refusal,
        rows=consequences(campaign, verb, now) if possible else [],
        counted_at=now,
        pause_instead=verb == CampaignVerb.HALT and CampaignVerb.PAUSE in possible_verbs(campaign),
        back=admin_url(campaign),
        **_asked(verb, form, overdue(campaign)),
    )


def _asked(verb: CampaignVerb, form: ControlForm, late: int) -> dict[str, Any]:
    """What the page asks and says, whether for one campaign or for several."""
    return {
        "verb": verb,
        "button": f"{verb.label} now",
        "danger": VERB_COLOUR.get(verb) == "bad",
        "asks_when": verb == CampaignVerb.PAUSE,
        "overdue": many(late, "post") if late and verb == CampaignVerb.RESUME else "",
        "never_by_itself": verb == CampaignVerb.HALT,
        "note": NOTE.get(verb, ""),
        "form": form,
    }


def control_many(request: HttpRequest, verb: str) -> HttpResponse:
    """The same verbs on those that were ticked in the list: asked once, done one by one, told one by one."""
    demand(request, PERMISSION, "control campaigns")
    chosen_verb = _verb(verb)
    try:
        keys = chosen(request)
    except Refused as refusal:
        messages.warning(request, refusal.sentence)
        return HttpResponseRedirect(reverse("admin:campaigns_campaign_changelist"))
    campaigns = list(Campaign.objects.filter(pk__in=keys, deleted_at=None).order_by("name", "pk"))
    form = ControlForm(request.POST if "confirmed" in request.POST else None)
    if not form.is_bound:
        return _page_of_many(request, campaigns, chosen_verb, form)
    if missing := _missing(form, chosen_verb, keys):
        return _page_of_many(request, campaigns, chosen_verb, form, refusal=missing, status=422)
    actor = Actor.human(request.user)

    def do(campaign: Campaign) -> str:
        return f"It {DONE[chosen_verb]}." if _do(campaign, chosen_verb, form, actor) else ""

    return page(
        request,
        "report",
        title=f"{chosen_verb.label}: what was done",
        results=one_after_other(campaigns, do),
        kind="campaign",
        reason=form.cleaned_data["reason"],
        back=reverse("admin:campaigns_campaign_changelist"),
        back_to="Campaigns",
    )


def _missing(form: ControlForm, verb: CampaignVerb, keys: list[UUID]) -> str:
    """What has to be said before anything is done to any of them; each verb would refuse one by one without it."""
    if not form.is_valid():
        return first_error(form)
    if not form.cleaned_data["reason"].strip():
        return f"Say why you {verb} them; everybody who meets these campaigns will read it."
    is_resume = verb == CampaignVerb.RESUME and not form.cleaned_data["backlog"]
    if is_resume and any(counts.overdue for counts in count_each(keys).values()):
        return "Posts have become overdue meanwhile. Choose what becomes of them."
    return ""


def _page_of_many(
    request: HttpRequest,
    campaigns: list[Campaign],
    verb: CampaignVerb,
    form: ControlForm,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    now = timezone.now()
    able = [campaign for campaign in campaigns if verb in possible_verbs(campaign)]
    unable = [campaign for campaign in campaigns if campaign not in able]
    counts = count_each([campaign.pk for campaign in able], now)
    sums = count_together(now, campaign__in=list(counts))
    each = [
        (campaign, " · ".join(row.what for row in in_words(counts[campaign.pk], FATES[verb], now))) for campaign in able
    ]
    return page(
        request,
        "campaign/control_many",
        status if able else 409,
        title=f"{verb.label} {len(able)} campaign{'' if len(able) == 1 else 's'}?",
        possible=bool(able),
        refusal=refusal or ("" if able else "None of these campaigns can be changed in this way now."),
        rows=in_words(sums, FATES[verb], now),
        counted_at=now,
        each=each,
        unable=unable,
        back=reverse("admin:campaigns_campaign_changelist"),
        **_asked(verb, form, sums.overdue),
    )
