"""The page behind the link of an invitation, where its receiver answers.

As with Django's reset of passwords the token moves from the address into the session
at once, so that neither logs nor links from the page carry it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import authenticate, login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from governance.actions import invitations, limits, sessions
from governance.actions.audit import Actor
from governance.admin.tenancy import SESSION_KEY, visitor_of
from governance.exceptions import AlreadyExistsError, GovernanceError, NotFoundError
from governance.models import Invitation, Membership, User

TOKEN_KEY = "invitation"  # noqa: S105 (where in the session the token is)
BACKEND = "django.contrib.auth.backends.ModelBackend"
ATTEMPTS_PER_ADDRESS = (60, 60)  # in seconds
# One sentence for every reason: it tells nobody which addresses have an account.
REFUSED = "This e-mail address and password do not match."
TAKEN = "That did not work. If you have an account already, sign in with it."


class SignInForm(forms.Form):
    """An account that is there; the address is asked for only if none is invited."""

    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "username"}),
    )
    password = forms.CharField(
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, invitation: Invitation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invitation = invitation
        if invitation.email:
            del self.fields["email"]

    @property
    def address(self) -> str:
        return self.invitation.email or str(self.cleaned_data["email"])


class RegisterForm(SignInForm):
    """A new account."""

    name = forms.CharField(
        max_length=200, widget=forms.TextInput({"autocomplete": "name"})
    )
    again = forms.CharField(
        label="Password again",
        max_length=1000,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    field_order = ("email", "name", "password", "again")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        password = self.fields["password"]
        password.help_text = "At least ten characters."
        password.widget.attrs["autocomplete"] = "new-password"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("password") != cleaned.get("again"):
            self.add_error("again", "The two passwords are not the same.")
        return cleaned


@never_cache
@require_safe
def open_link(request: HttpRequest, token: str) -> HttpResponse:
    """Remember the token of the link, and show the page without it."""
    try:
        invitations.find(token)
    except NotFoundError:
        return _gone(request)
    request.session[TOKEN_KEY] = token
    return HttpResponseRedirect(reverse("invitation"))


@never_cache
@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest) -> HttpResponse:
    """Show the invitation, and do what its receiver answers."""
    token = request.session.get(TOKEN_KEY, "")
    try:
        invitation = invitations.find(token)
        deed = ANSWERS.get(request.POST.get("answer", ""))
        if deed is None:
            return _page(request, invitation)
        limit, seconds = ATTEMPTS_PER_ADDRESS
        ip = visitor_of(request, None, "").ip
        limits.hit("invitation", ip, limit=limit, seconds=seconds)
        answered: HttpResponse = deed(request, invitation, token)
        return answered
    except NotFoundError:
        return _gone(request)
    except GovernanceError as error:
        return _page(request, invitation, refused=str(error))


def _page(request: HttpRequest, invitation: Invitation, **context: Any) -> HttpResponse:
    user = request.user
    email = getattr(user, "email", "")
    shown = {
        "invitation": invitation,
        "is_signed_in": user.is_authenticated,
        "is_for_user": invitation.email.lower() in {"", email.lower()},
        "sign_in": SignInForm(invitation=invitation, prefix="sign_in"),
        "register": RegisterForm(invitation=invitation, prefix="register"),
    }
    return render(request, "portal/invitation.html", shown | context)


def _gone(request: HttpRequest) -> HttpResponse:
    request.session.pop(TOKEN_KEY, None)
    return render(request, "portal/invitation_gone.html", status=404)


def _accept(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """Accept as the person who is signed in."""
    user = request.user
    if not isinstance(user, User):
        return _page(request, invitation)
    actor = visitor_of(request, user, "session")
    return _arrive(request, invitations.accept(token, user=user, actor=actor))


def _sign_in(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """Accept with an account that is there, after a look at its password."""
    form = SignInForm(request.POST, invitation=invitation, prefix="sign_in")
    if not form.is_valid():
        return _page(request, invitation, sign_in=form)
    email, password = form.address.lower(), form.cleaned_data["password"]
    user = authenticate(request, username=email, password=password)
    # Axes would put its own answer in the place of ours.
    is_locked = getattr(request, "axes_locked_out", False)
    request.axes_locked_out = False  # type: ignore[attr-defined]
    if not isinstance(user, User) or is_locked:
        actor = replace(visitor_of(request, None, "password"), label=email)
        reason = "locked out" if is_locked else "wrong password"
        sessions.record_failure(email, actor=actor, reason=reason)
        form.add_error(None, REFUSED)
        return _page(request, invitation, sign_in=form)
    actor = visitor_of(request, user, "password")
    membership = invitations.accept(token, user=user, actor=actor)
    return _arrive(request, membership, actor)


def _register(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """Accept with a new account."""
    form = RegisterForm(request.POST, invitation=invitation, prefix="register")
    if not form.is_valid():
        return _page(request, invitation, register=form)
    try:
        membership = invitations.join(
            token,
            email=form.address,
            password=form.cleaned_data["password"],
            name=form.cleaned_data["name"],
            actor=visitor_of(request, None, "password"),
        )
    except AlreadyExistsError:
        form.add_error(None, TAKEN)
    except GovernanceError as error:
        weak = [one["detail"] for one in error.errors]
        form.add_error("password" if weak else None, weak or [error.detail])
    else:
        actor = visitor_of(request, membership.user, "password")
        return _arrive(request, membership, actor)
    return _page(request, invitation, register=form)


def _decline(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    user = request.user if isinstance(request.user, User) else None
    actor = visitor_of(request, user, "session" if user else "")
    invitations.decline(token, actor=actor)
    request.session.pop(TOKEN_KEY, None)
    return render(request, "portal/invitation_answered.html")


def _arrive(
    request: HttpRequest, membership: Membership, signed_in: Actor | None = None
) -> HttpResponse:
    """Take the new member to their seat; `signed_in` as whoever has just come in."""
    request.session.pop(TOKEN_KEY, None)
    if membership.is_unconfirmed:
        context = {"membership": membership}
        return render(request, "portal/invitation_answered.html", context)
    if signed_in is not None:
        login(request, membership.user, backend=BACKEND)
        sessions.record_login(membership.user, actor=signed_in)
    request.session[SESSION_KEY] = membership.organization_id
    messages.success(request, f"Welcome to {membership.organization}.")
    return HttpResponseRedirect(reverse("admin:index"))


ANSWERS: Mapping[str, Any] = {
    "accept": _accept,
    "sign_in": _sign_in,
    "register": _register,
    "decline": _decline,
}
