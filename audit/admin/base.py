"""The classes that every model's admin builds on."""

from collections.abc import Sequence
from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, models
from django.db.models import Field, QuerySet
from django.forms import Field as FormField
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.text import capfirst

from audit.admin import columns, export
from audit.admin.cells import pretty
from audit.admin.entries import entity_of
from audit.admin.fields import ConsoleForm, JSONField, Moment
from audit.admin.paging import BoundedChangeList, BoundedPaginator
from audit.admin.picker import PickField
from audit.admin.refusals import sentence
from audit.admin.searching import Search
from audit.base import AuditedModel
from audit.context import TRACE_ID
from audit.errors import Refused

M = TypeVar("M", bound=models.Model)


class ConsoleAdmin(admin.ModelAdmin[M]):
    """Lists and forms in the console's manners: nothing is deleted, a refusal is a sentence, history is the audit log.

    `badges` gives columns with choices their colours on the page of a row, `long_texts` names the columns that are
    written in paragraphs; every other text is one line. `pickers` names the foreign keys that are found by typing, each
    with the columns that hold what people call its rows. `empty_because` says on an empty list where rows come from.
    """

    form: type[ModelForm[M]] = ConsoleForm
    actions = None
    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    formfield_overrides = {
        models.JSONField: {"form_class": JSONField, "widget": JSONField.widget},
        models.DateTimeField: {"form_class": forms.DateTimeField, "widget": Moment},
    }
    badges: dict[str, Any] = {}
    pickers: dict[str, Sequence[str]] = {}
    long_texts: frozenset[str] = frozenset()
    empty_because = ""
    search_within: dict[type[models.Model], models.Q] = {}

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        guarded = self.admin_site.admin_view
        return [
            path("export/", guarded(self.export_view), name=f"{name}_export"),
            path("<path:object_id>/value/<slug:column>/", guarded(self.value_view), name=f"{name}_value"),
            *super().get_urls(),
        ]

    def value_view(self, request: HttpRequest, object_id: str, column: str) -> HttpResponse:
        """All of one column's value as plain text, where its page shows the beginning."""
        row = self.get_object(request, unquote(object_id))
        known = {field.name for field in self.opts.concrete_fields}
        if row is None or column not in known:
            raise Http404("There is no such row, or it has no such column.")
        shown = set(flatten_fieldsets(self.get_fieldsets(request, row))) - export.SECRET
        if not self.has_view_permission(request, row) or column not in shown:
            raise PermissionDenied
        value = row.serializable_value(column)
        text = pretty(value) if isinstance(value, dict | list) else str(value)
        policy = {"Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'"}
        return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=policy)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        plain = {field.name for field in self.opts.concrete_fields if isinstance(field, models.TextField)}
        plain -= {field.name for field in self.opts.concrete_fields if field.choices}
        return [columns.short(name) if name in plain else name for name in super().get_list_display(request)]

    def export_key(self, request: HttpRequest) -> tuple[str, ...]:
        """In which order, from the end, rows are taken out; its last column is unique and an index answers it."""
        return (self.opts.pk.name,)

    def told(self, row: M) -> M:
        """The row as a page or a file tells it."""
        return row

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list as a file, with the filters and the search of its address."""
        if not self.has_view_permission(request):
            needed = f"{self.opts.app_label}.view_{self.opts.model_name}"
            raise PermissionDenied(f"You may not see this list. Ask an Administrator for the permission “{needed}”.")
        try:
            chosen = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            raise BadRequest("This address filters by something that the list does not know.") from None
        related = self.list_select_related
        header, attributes = export.columns_of(self.model, [] if isinstance(related, bool) else list(related))
        rows = export.rows_of(chosen, self.export_key(request), attributes, self.told)
        return export.csv_answer(request, self.opts.db_table, self.opts.db_table, header, rows)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # The audit log is the one history; Django's own would be a second, weaker one.
    def log_addition(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        return None

    def log_change(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        return None

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        entity = entity_of(self.model)
        if entity is None:
            raise Http404(f"The audit log does not tell of {self.opts.verbose_name_plural}.")
        about = {"entity_type": str(entity), "entity_id": unquote(object_id)}
        return HttpResponseRedirect(f"{reverse('admin:audit_auditlog_changelist')}?{urlencode(about)}")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        """A pasted trace or key is looked up as such; anything else is searched for as words."""
        term = search_term.strip()
        trace = self.model.audit.trace if issubclass(self.model, AuditedModel) else ""
        if trace and TRACE_ID.fullmatch(term):
            return queryset.filter(**{trace: term}), False
        if key := as_key(self.opts.pk, term):
            return queryset.filter(pk=key), False
        search = Search(self.model, list(self.get_search_fields(request)), self.search_within)
        found = queryset.filter(search.wanted(term))
        request.search_is_cut = search.is_cut  # type: ignore[attr-defined]
        return found, False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> FormField | None:
        if db_field.name in self.pickers and isinstance(db_field, models.ForeignKey):
            return db_field.formfield(form_class=PickField, source=db_field, names=self.pickers[db_field.name])
        if isinstance(db_field, models.TextField) and not db_field.choices:
            long = db_field.name in self.long_texts
            kwargs["widget"] = AdminTextareaWidget(attrs={"rows": 3}) if long else AdminTextInputWidget()
            if db_field.null:
                kwargs["empty_value"] = None
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        for may in ("can_add_related", "can_change_related", "can_delete_related", "can_view_related"):
            if field is not None and hasattr(field.widget, may):
                setattr(field.widget, may, False)
        return field

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[M]]:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.refusal = getattr(request, "refusal", "")  # type: ignore[attr-defined]
        return form

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """An address that is wrong leads to its list; Django's own words suppose that something was deleted."""
        messages.warning(request, f"There is no {opts.verbose_name} under this address.")
        return HttpResponseRedirect(reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"))

    def save_model(self, request: HttpRequest, obj: M, form: Any, change: bool) -> None:
        """Write only what this person changed: a form that was open during a halt must not undo it."""
        columns = {field.name for field in self.opts.concrete_fields}
        obj.save(update_fields=[name for name in form.changed_data if name in columns] if change else None)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (IntegrityError, DataError, Refused) as problem:
            # The transaction is gone; show the same form again, with the reason, and everything that was typed.
            request.refusal = sentence(problem)  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        original = context.get("original")
        context.update(
            title=context.get("heading") or str(original or f"New {self.opts.verbose_name}"),
            subtitle=None,
            has_history=entity_of(self.model) is not None,
        )
        return super().render_change_form(request, context, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    @property
    def media(self) -> forms.Media:
        """None of the scripts that Django's admin always brings: what a field needs comes with its widget."""
        return forms.Media()


class ReadOnlyAdmin(ConsoleAdmin[M]):
    """Rows that people only look at: immutable, or written by verbs and not by forms.

    Without `fields` or `fieldsets` every column is shown but the key, and not only those that a form would ask for.
    """

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or [field.name for field in self.opts.concrete_fields if not field.primary_key]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def as_key(field: Any, text: str) -> Any:
    """The text as a primary key; None when it is not one. UUIDs are written with dashes, as the console shows them."""
    if not isinstance(field, models.UUIDField) or len(text) != 36:
        return None
    try:
        return field.to_python(text)
    except ValidationError:
        return None
