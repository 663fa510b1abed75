"""People and groups in the console."""

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import sign_ins
from accounts.forms import GroupForm, InvitationForm, PersonChangeForm
from accounts.models import User
from accounts.services.emails import are_kept_in_files
from accounts.services.invitations import invite_person, invited_at, send_invitation
from accounts.services.second_factor import has_second_factor, reset_second_factor
from accounts.services.sessions import end_sessions
from audit.admin import cells, columns
from audit.admin.base import ConsoleAdmin
from audit.context import Actor
from audit.errors import Refused

__all__ = ["sign_ins"]
admin.site.unregister([Group, TOTPDevice, StaticDevice])  # a second factor is its person's own, on a page of its own


@admin.register(User)
class PersonAdmin(ConsoleAdmin[User], UserAdmin[User]):
    """Only a superuser makes, sees the switch of, or changes a superuser: an Administrator must not become one."""

    form = PersonChangeForm
    add_form = InvitationForm
    add_form_template = "admin/accounts/user/invite.html"
    change_form_template = "admin/accounts/user/change_form.html"
    change_user_password_template = "admin/accounts/user/change_password.html"  # noqa: S105
    list_display = [
        "display_name_or_email",
        "address",
        "in_groups",
        "standing",
        "second_factor",
        columns.when("last_login", "last seen"),
    ]
    list_filter = ["is_active", "groups"]
    search_fields = ["display_name", "email"]
    search_help_text = "Name or e-mail"
    ordering = ["display_name", "email"]
    readonly_fields = ["last_login", "created_at"]
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["email", "display_name", "password"]}),
        ("What they may do", {"fields": ["is_active", "groups"]}),
        ("When", {"fields": ["last_login", "created_at"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "display_name"]}),
        ("What they may do", {"fields": ["groups"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        factors = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        return super().get_queryset(request).prefetch_related("groups").annotate(has_factor=Exists(factors))

    def get_urls(self) -> list[URLPattern]:
        def page(name: str, view: Any) -> URLPattern:
            guarded = self.admin_site.admin_view(view)
            made: URLPattern = path(f"<uuid:key>/{name}/", guarded, name=f"accounts_user_{name}")
            return made

        return [
            page("invite", require_POST(self.invite_again)),
            page("sign_out", require_POST(self.sign_out)),
            page("reset", self.reset_view),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Nobody chooses a password for somebody who was invited."""
        shown = super().get_fieldsets(request, obj)
        return [(None, {"fields": ["email", "display_name"]}), *shown[1:]] if obj and obj.is_invited else shown

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **{**kwargs, "widget": CheckboxSelectMultiple})

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            if "is_active" in form.changed_data and not obj.is_active:  # switched on again, nobody is in at once
                end_sessions(person=obj, actor=Actor.human(request.user))
            return
        obj.__dict__.update(invite_person(**form.cleaned_data, actor=Actor.human(request.user)).__dict__)
        transaction.on_commit(partial(self._send, request, obj))

    def response_add(self, request: HttpRequest, obj: User, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(cells.admin_url(obj))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if (person := context.get("original")) is not None:
            may = self.has_change_permission(request, person)
            context["invited_at"] = (invited_at(person) or person.created_at) if person.is_invited else None
            context["may_invite"] = request.user.has_perm("accounts.add_user") and person.is_active
            context["may_sign_out"] = may and person != request.user and person.last_login is not None
            context["may_reset"] = may and person != request.user and has_second_factor(person)
            context["invitation_days"] = settings.INVITATION_DAYS
        else:
            context["heading"] = "Invite a person"
        return super().render_change_form(request, context, *args, **kwargs)

    def invite_again(self, request: HttpRequest, key: UUID) -> HttpResponse:
        if not request.user.has_perm("accounts.add_user"):
            raise PermissionDenied("You may not invite people. Ask an Administrator.")
        person = self._person(key)
        self._send(request, person)
        return HttpResponseRedirect(cells.admin_url(person))

    def _send(self, request: HttpRequest, person: User) -> None:
        """Outside of the transaction that made the account: a mail server that is away undoes nothing."""
        try:
            send_invitation(person=person, actor=Actor.human(request.user))
        except Refused as refusal:
            messages.error(request, refusal.sentence)
        except OSError as problem:
            said = str(problem).partition("\n")[0]
            messages.error(request, f"The account is there, but no e-mail could be sent: {said}. Try again later.")
        else:
            kept = f" No mail server is set, so that it is a file in {settings.EMAIL_FILE_PATH}."
            sent = f"An invitation is on its way to {person.email}."
            messages.success(request, sent + (kept if are_kept_in_files() else ""))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """One's own wants the old one: a session that somebody left open must not become an account."""
        if id == str(request.user.pk):
            return HttpResponseRedirect(reverse("admin:password_change"))
        answer: HttpResponse = super().user_change_password(request, id, form_url)
        return answer

    def sign_out(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Nothing is asked first: whoever is meant signs in again."""
        person = self._person(key)
        if not self.has_change_permission(request, person):
            raise PermissionDenied("You may not end this person’s sessions. Ask an Administrator.")
        ended = end_sessions(person=person, actor=Actor.human(request.user))
        if ended:
            messages.success(request, f"{person} is signed out everywhere: {ended} session{'' if ended == 1 else 's'}.")
        else:
            messages.info(request, f"{person} is signed in nowhere.")
        return HttpResponseRedirect(cells.admin_url(person))

    def reset_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Asks first: from then on the password alone lets the person in."""
        person = self._person(key)
        if not self.has_change_permission(request, person):
            raise PermissionDenied("You may not reset this person’s second factor. Ask an Administrator.")
        if request.method == "POST":
            try:
                reset_second_factor(person=person, actor=Actor.human(request.user))
                messages.success(request, f"The second factor of {person} is reset. They can set up another.")
            except Refused as refusal:
                messages.warning(request, refusal.sentence)
            return HttpResponseRedirect(cells.admin_url(person))
        title = f"Reset the second factor of {person}?"
        context = {**self.admin_site.each_context(request), "title": title, "person": person}
        return TemplateResponse(request, "admin/accounts/user/reset.html", context)

    def _person(self, key: UUID) -> User:
        person: User | None = User.objects.filter(pk=key).first()
        if person is None:
            raise Http404("There is no such person.")
        return person

    @admin.display(description="person", ordering="display_name")
    def display_name_or_email(self, person: User) -> str:
        return str(person)

    @admin.display(description="e-mail", ordering="email")
    def address(self, person: User) -> str:
        return person.email

    @admin.display(description="groups")
    def in_groups(self, person: User) -> str:
        names = sorted(group.name for group in person.groups.all())
        return ", ".join(["Superuser", *names] if person.is_superuser else names) or cells.EMPTY

    @admin.display(description="account", ordering="is_active")
    def standing(self, person: User) -> str:
        if not person.is_active:
            return cells.badge("switched off")
        return cells.badge("invited, not yet in", "warn") if person.is_invited else cells.badge("active", "good")

    @admin.display(description="second factor")
    def second_factor(self, person: User) -> str:
        return cells.badge("on", "good") if getattr(person, "has_factor", False) else cells.badge("off")


@admin.register(Group)
class GroupsAdmin(ConsoleAdmin[Group]):
    form = GroupForm
    list_display = ["name", "members"]
    search_fields = ["name"]
    search_help_text = "Name"
    ordering = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).prefetch_related("user_set")

    @admin.display(description="members")
    def members(self, group: Group) -> str:
        people = [str(person) for person in group.user_set.all()]
        return ", ".join(people[:5]) + (f" and {len(people) - 5} more" if len(people) > 5 else "") or cells.EMPTY
