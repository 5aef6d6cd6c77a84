"""What a token, a password or a key stands for. Answers from memory: it is on the hot path.

Owns tokens, password checks and signing keys; who exists is `store`'s, what users may do `decisions`'. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import msgspec

from penstock.catalog.base import AccessKey, Catalog, Domain, Exists, Project, User
from penstock.catalog.tables.iam import Agency, RevokedToken
from penstock.clock import Clock
from penstock.errors import ApiError, invalid, malformed
from penstock.iam import agencies, temporary
from penstock.iam.base import Principal
from penstock.iam.decisions import Decisions
from penstock.iam.failures import Failures
from penstock.iam.names import (
    ACCESS_KEY,
    PROJECT_ID,
    SECRET_KEY,
    check_name,
    check_project_id,
    check_text,
    new_access_key,
    new_id,
    new_secret_key,
)
from penstock.iam.passwords import PASSWORD_BYTES, Passwords
from penstock.iam.refused import Failed, Refused
from penstock.iam.sealing import Sealer, kept_secret
from penstock.iam.store import Store
from penstock.iam.temporary import SecurityTokens, Session
from penstock.iam.tokens import Claims, Tokens, check_time
from penstock.limits import Limits

_TOKEN_CACHE = 4096
_TOKEN_KEY = "token-key"  # noqa: S105 the name it has in the catalog, not the key


class SigningKey(NamedTuple):
    """An enabled access key: its secret in clear and who it stands for."""

    secret: bytes
    principal: Principal


class Account(NamedTuple):
    """An account just made, and the only time the secret is told."""

    domain: Domain
    owner: User
    project: Project
    access_key: str
    secret_key: str


class Issued(NamedTuple):
    """A token just made: its text for X-Subject-Token and what it says."""

    text: str
    claims: Claims


class Identity:
    """Made by `Identity.open`."""

    def __init__(
        self,
        catalog: Catalog,
        sealer: Sealer,
        clock: Clock,
        limits: Limits,
        tokens: Tokens,
        security_tokens: SecurityTokens,
        *,
        auth: bool,
        region: str,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.region = region
        self.auth = auth
        """False with `--auth off`: everybody is the first user, any project exists."""
        self.store = Store(catalog, limits)
        self.decisions = Decisions(self.store)
        self.failures: Failures | None = Failures(clock, limits.failures_per_minute)
        """None: failures are counted elsewhere (see `refuse`)."""
        self._sealer = sealer
        self._tokens = tokens
        self._security_tokens = security_tokens
        self._passwords = Passwords()
        # All derived from the store, forgotten when it changes.
        self._signing: dict[str, SigningKey] = {}
        self._believed: dict[bytes, tuple[Claims, Principal]] = {}
        self._sessions: dict[bytes, tuple[Session, SigningKey]] = {}
        self.store.on_change(self._forget)

    @classmethod
    async def open(
        cls,
        catalog: Catalog,
        sealer: Sealer,
        clock: Clock,
        limits: Limits,
        *,
        auth: bool = True,
        region: str = "local",
    ) -> Identity:
        """Identity as the catalog has it; run `bootstrap` before. Raises SealingError when the master key is not
        the one the catalog's secrets were sealed with."""
        key = await kept_secret(catalog, sealer, _TOKEN_KEY)
        identity = cls(
            catalog, sealer, clock, limits, Tokens(key), SecurityTokens(key), auth=auth, region=region
        )
        await identity.refresh()
        await identity.store.settle_owners()
        await identity.store.settle_operator()
        await identity.store.furnish(lambda domain: agencies.default_agency(domain.domain_id, clock.now_ms()))
        for row in identity.store.keys.values():
            sealer.unseal(row.sealed_secret, key_purpose(row.access_key))
        return identity

    async def refresh(self) -> None:
        """Read everything again from the catalog."""
        await self.store.refresh()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change of anything here."""
        self.store.on_change(callback)

    def _forget(self) -> None:
        self._signing.clear()
        self._believed.clear()
        self._sessions.clear()

    # Who exists -----------------------------------------------------------------------------------------------------

    def domain(self, *, domain_id: str | None = None, name: str | None = None) -> Domain | None:
        """An account by id or name."""
        return self.store.domain(domain_id=domain_id, name=name)

    def domain_of(self, user: User) -> Domain:
        return self.store.domains[user.domain_id]

    def user(
        self,
        *,
        user_id: str | None = None,
        name: str | None = None,
        domain_id: str | None = None,
        domain_name: str | None = None,
    ) -> User | None:
        """A user by id, or by name within an account named by id or name."""
        if user_id:
            return self.store.users.get(user_id)
        domain = self.domain(domain_id=domain_id, name=domain_name)
        if domain is None or not name:
            return None
        return self.store.user_named(domain.domain_id, name)

    def first_user(self) -> User:
        """Who everybody is with `--auth off`: the owner of an account."""
        users = self.store.users.values()
        return next((user for user in users if self.is_owner(user)), None) or next(iter(users))

    def is_owner(self, user: User) -> bool:
        """Whether a user may do everything in the account."""
        return self.domain_of(user).owner_id == user.user_id

    def project(
        self, domain_id: str, *, project_id: str | None = None, name: str | None = None
    ) -> Project | None:
        """A project of an account by id or by name."""
        for project in self.projects_of(domain_id):
            if project.project_id == project_id if project_id else project.name == name:
                return project
        wanted = project_id or name or ""
        if not self.auth and PROJECT_ID.fullmatch(wanted):
            return Project(project_id=wanted, domain_id=domain_id, name=name or wanted)
        return None

    def projects_of(self, domain_id: str) -> list[Project]:
        """All projects of an account."""
        return self.store.projects_of(domain_id)

    def owns(self, domain_id: str, project_id: str) -> bool:
        """Whether a project is one of an account's, and enabled."""
        project = self.store.projects.get(project_id)
        return project is not None and project.domain_id == domain_id and project.enabled

    def agency(self, domain_id: str, name: str) -> Agency | None:
        """An account's agency of that name that a service may use now: what dump tasks deliver in the name of."""
        if domain_id not in self.store.domains and name == agencies.DEFAULT_NAME:
            # An account of an external Keystone has the one every account has.
            return agencies.default_agency(domain_id, 0)
        agency = self.store.agency_named(domain_id, name)
        if agency is None or agency.trust_domain_id or not agencies.holds(agency, self.clock.now_ms()):
            return None
        return agency

    def principal(
        self, user: User, project: Project | None = None, *, signed: bool = False, access_key: str = ""
    ) -> Principal:
        """`user` as the rest of the server sees it."""
        return Principal(
            user_id=user.user_id,
            user_name=user.name,
            domain_id=user.domain_id,
            domain_name=self.domain_of(user).name,
            project_id=project.project_id if project else None,
            project_name=project.name if project else None,
            signed=signed,
            owner=self.is_owner(user),
            access_key=access_key,
        )

    def assumed(self, agency: Agency, project: Project | None = None) -> Principal:
        """Whoever took an agency over, as the rest of the server sees it: in the account that made the agency."""
        domain = self.store.domains[agency.domain_id]
        return Principal(
            user_id=agency.agency_id,
            user_name=f"{domain.name}/{agency.name}",
            domain_id=domain.domain_id,
            domain_name=domain.name,
            project_id=project.project_id if project else None,
            project_name=project.name if project else None,
            assumed=f"agency:{agency.agency_id}",
        )

    def allows(
        self,
        principal: Principal,
        project_id: str | None,
        action: str,
        enterprise_project: str | None = None,
        resource: str = "",
    ) -> bool:
        """See Decisions."""
        return self.decisions.allows(principal, project_id, action, enterprise_project, resource)

    def within(self, principal: Principal, project_id: str | None, action: str) -> bool:
        """See Decisions."""
        return self.decisions.within(principal, project_id, action)

    # Passwords, keys and tokens -------------------------------------------------------------------------------------

    def signing_key(self, access_key: str) -> SigningKey | None:
        """An enabled access key of an enabled user."""
        known = self._signing.get(access_key)
        if known is None:
            row = self.store.keys.get(access_key)
            user = self.store.users.get(row.user_id) if row else None
            if row is None or user is None or not row.enabled or not user.enabled:
                return None
            secret = self._sealer.unseal(row.sealed_secret, key_purpose(access_key))
            known = self._signing[access_key] = SigningKey(
                secret, self.principal(user, signed=True, access_key=access_key)
            )
        return known

    def lend(
        self,
        made_with: str,
        user: User,
        seconds: int,
        *,
        agency: Agency | None = None,
        policy: str = "",
        expires_ms: int | None = None,
    ) -> tuple[Session, str]:
        """A temporary access key of `user`, or of an agency the user takes over, and its security token. `policy` narrows it,
        `expires_ms` caps its life. The caller checks who may have one."""
        now = self.clock.now_ms()
        ends = now + seconds * 1000
        session = Session(
            access_key=temporary.temporary_access_key(),
            secret=new_secret_key(),
            user_id=user.user_id,
            epoch=user.epoch,
            made_with=made_with,
            issued_ms=now,
            expires_ms=ends if expires_ms is None else min(ends, expires_ms),
            agency_id=agency.agency_id if agency else "",
            agency_epoch=agency.epoch if agency else 0,
            policy=policy,
        )
        return session, self._security_tokens.write(session)

    def temporary_key(self, token: bytes, access_key: str) -> SigningKey:
        """The secret of a temporary access key and who it stands for. Raises Refused when its security token is not one that
        holds now, or is another key's."""
        known = self._sessions.get(token)
        session = known[0] if known is not None else self._security_tokens.read(token)
        temporary.check_time(
            session, now_ms=self.clock.now_ms(), skew_seconds=self.limits.signature_skew_seconds
        )
        if not hmac.compare_digest(session.access_key.encode(), access_key.encode("utf-8", "replace")):
            raise Refused("X-Security-Token belongs to another access key")
        if known is None:
            known = session, SigningKey(session.secret.encode(), self._believe_session(session))
            if len(self._sessions) >= _TOKEN_CACHE:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[token] = known
        elif session.agency_id:
            # An agency ends without anything changing.
            self._agency_taken(session.agency_id, session.agency_epoch, self.store.users[session.user_id])
        return known[1]

    def _believe_session(self, session: Session) -> Principal:
        """Who a genuine temporary key stands for. Raises Refused when it holds no more."""
        user = self.store.users.get(session.user_id)
        if user is None or not user.enabled:
            raise Refused("the user of X-Security-Token is gone or disabled", counts=False)
        if session.epoch != user.epoch:
            raise Refused(
                "X-Security-Token was made before the user's password or state changed", counts=False
            )
        kind, _, name = session.made_with.partition(":")
        if kind == "token" and name in self.store.revoked:
            raise Refused("the token X-Security-Token was made with was revoked", counts=False)
        if kind == "key" and self.signing_key(name) is None:
            raise Refused("the access key X-Security-Token was made with is gone or disabled", counts=False)
        if session.agency_id:
            principal = self.assumed(self._agency_taken(session.agency_id, session.agency_epoch, user))
        else:
            principal = self.principal(user)
        return msgspec.structs.replace(
            principal,
            signed=True,
            access_key=session.access_key,
            temporary=True,
            narrowed=session.policy,
            owner=principal.owner and not session.policy,
        )

    def _agency_taken(self, agency_id: str, epoch: int, user: User) -> Agency:
        """The agency somebody took over. Raises Refused when it holds no more."""
        agency = self.store.agencies.get(agency_id)
        if agency is None or agency.epoch != epoch or agency.trust_domain_id != user.domain_id:
            raise Refused("the agency is gone, or was changed since", counts=False)
        if not agencies.holds(agency, self.clock.now_ms()):
            raise Refused("the agency has run out", counts=False)
        return agency

    async def login(self, peer: str, user: User | None, who: str, password: str) -> User:
        """Check a password. `who` is what the client called the user: failures count under it and the address.
        The work is the same when there is no such user. Raises ApiError APIGW.0301, DIS.4309, APIGW.0203."""
        if not self.auth:
            return self.first_user()
        if user is None or not await self.verify(user, password):
            if user is None:
                await self._passwords.verify(None, password)
            self.refuse(peer, "login:" + who, Refused("the user name, domain or password is wrong"))
        return self.store.users[user.user_id]

    async def verify(self, user: User, password: str) -> bool:
        """Whether `password` is an enabled user's. Raises ApiError APIGW.0203 when too many are being checked."""
        stored = user.password_hash if user.enabled else ""
        right = await self._passwords.verify(stored or None, password)
        # It takes a while: what changed meanwhile counts.
        now = self.store.users.get(user.user_id)
        return right and now is not None and now.enabled and now.password_hash == stored

    def refuse(self, peer: str, key: str, refused: Refused) -> NoReturn:
        """Raise what a client is told: APIGW.0301, or DIS.4309 after too many failures of `peer` with `key`. Where failures are
        counted elsewhere, `Failed`, for somebody who can ask."""
        digest = hashlib.blake2s(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        if refused.counts and self.failures is None:
            raise Failed(refused, peer, digest) from refused
        if refused.counts and self.failures is not None and self.failures.record(peer, digest):
            raise ApiError("DIS.4309") from refused
        raise ApiError("APIGW.0301", f"[{refused.reason}]") from refused

    def issue(
        self,
        user: User,
        methods: tuple[str, ...],
        *,
        project: Project | None = None,
        domain_scope: bool = False,
        expires_ms: int | None = None,
        chain: str = "",
        agency: Agency | None = None,
    ) -> Issued:
        """A token of `user`: for a project, for the account, or for neither. `expires_ms` caps its life (a token
        made from a token does not outlive it); `chain` is the audit id of the first token it comes from. With `agency`, project and
        account are those of who made the agency."""
        now = self.clock.now_ms()
        ends = now + self.limits.token_seconds * 1000
        claims = Claims(
            user_id=user.user_id,
            domain_id=agency.domain_id if agency else user.domain_id,
            project_id=project.project_id if project else None,
            domain_scope=domain_scope,
            methods=methods,
            issued_ms=now,
            expires_ms=ends if expires_ms is None else min(ends, expires_ms),
            audit_id=secrets.token_urlsafe(12),
            epoch=user.epoch,
            chain=chain,
            agency_id=agency.agency_id if agency else "",
            agency_epoch=agency.epoch if agency else 0,
        )
        return Issued(self._tokens.write(claims), claims)

    def read_token(self, token: bytes) -> tuple[Claims, Principal]:
        """What a token says and who it stands for. Raises Refused when it is not valid now."""
        now, skew = self.clock.now_ms(), self.limits.signature_skew_seconds
        believed = self._believed.get(token)
        if believed is not None:
            claims = believed[0]
            if now >= claims.expires_ms or claims.issued_ms > now:
                check_time(claims, now_ms=now, skew_seconds=skew)
            if claims.agency_id:
                # An agency ends without anything changing.
                self._agency_taken(claims.agency_id, claims.agency_epoch, self.store.users[claims.user_id])
            return believed
        claims = self._tokens.read(token, now_ms=now, skew_seconds=skew)
        believed = claims, self._believe(claims)
        if len(self._believed) >= _TOKEN_CACHE:
            del self._believed[next(iter(self._believed))]
        self._believed[token] = believed
        return believed

    def known_token(self, token: bytes) -> Principal | None:
        """Who a token stands for that has been read before and holds now, unless it is of an agency; otherwise ask `read_token`."""
        believed = self._believed.get(token)
        if believed is None:
            return None
        claims, principal = believed
        if not claims.issued_ms <= self.clock.now_ms() < claims.expires_ms or claims.agency_id:
            return None
        return principal

    def _believe(self, claims: Claims) -> Principal:
        """Who a genuine token stands for. Raises Refused when it holds no more."""
        user = self.store.users.get(claims.user_id)
        if user is None or not user.enabled or (user.domain_id != claims.domain_id and not claims.agency_id):
            raise Refused("the user of X-Auth-Token is gone or disabled", counts=False)
        if claims.epoch != user.epoch:
            raise Refused("X-Auth-Token was made before the user's password or state changed", counts=False)
        if claims.audit_id in self.store.revoked or claims.chain in self.store.revoked:
            raise Refused("X-Auth-Token was revoked", counts=False)
        project = None
        if claims.project_id is not None:
            project = self.project(claims.domain_id, project_id=claims.project_id)
            if project is None or not project.enabled:
                raise Refused("the project of X-Auth-Token is gone or disabled", counts=False)
        if claims.agency_id:
            return self.assumed(self._agency_taken(claims.agency_id, claims.agency_epoch, user), project)
        return self.principal(user, project)

    async def revoke(self, claims: Claims) -> None:
        """End a token, and those made from it."""
        token = RevokedToken(claims.audit_id, claims.user_id, claims.expires_ms)
        await self.store.revoke(token, self.clock.now_ms())

    # Changes --------------------------------------------------------------------------------------------------------

    async def add_domain(self, name: str, domain_id: str | None = None) -> Domain:
        """A new account. Raises ApiError DIS.4200 for a bad name, catalog.Exists for one taken, QuotaExceeded."""
        domain = Domain(domain_id or new_id(), check_name("name", name), furnished=True)
        agency = agencies.default_agency(domain.domain_id, self.clock.now_ms())
        return await self.store.add_domain(domain, agency)

    async def add_account(self, name: str, owner: str, password: str, project: str) -> Account:
        """A new account with its owner, a project and an access key of the owner: all or nothing. The caller checks the password.
        Raises ApiError DIS.4200, catalog.Exists, QuotaExceeded."""
        now = self.clock.now_ms()
        domain = Domain(new_id(), check_name("account.name", name), furnished=True)
        user = User(
            user_id=new_id(),
            domain_id=domain.domain_id,
            name=check_name("account.owner.name", owner),
            created_ms=now,
            password_hash="",
        )
        made = Project(
            project_id=new_id(),
            domain_id=domain.domain_id,
            name=check_name("account.project.name", project),
            created_ms=now,
        )
        if self.store.domain(name=name) is not None:
            # Before a hash is made, which takes long.
            raise Exists(name)
        user = msgspec.structs.replace(user, **await self.hashed(password))
        access_key, secret_key = new_access_key(), new_secret_key()
        sealed = self._sealer.seal(secret_key.encode(), key_purpose(access_key))
        domain = msgspec.structs.replace(domain, owner_id=user.user_id)
        await self.store.add_domain(
            domain,
            user,
            made,
            AccessKey(access_key, user.user_id, sealed, now),
            agencies.default_agency(domain.domain_id, now),
        )
        return Account(domain, user, made, access_key, secret_key)

    async def add_user(self, domain_id: str, name: str, password: str, **fields: object) -> User:
        """A new user of an account; `fields` are others of User. With an empty password none lets the user in. Raises ApiError
        DIS.4200, catalog.Exists, QuotaExceeded."""
        made = User(user_id=new_id(), domain_id=domain_id, name=check_name("name", name), password_hash="")
        if password:
            fields |= await self.hashed(password)
        made = msgspec.structs.replace(made, created_ms=self.clock.now_ms(), **fields)
        return await self.store.add_user(made)

    async def hashed(self, password: str) -> dict[str, Any]:
        """The fields of User that a new password sets."""
        return {
            "password_hash": await self._passwords.hash(password),
            "password_ms": self.clock.now_ms(),
        }

    async def set_password(self, user_id: str, password: str) -> User:
        """Give a user another password and end the tokens made with the old one. Raises KeyError when the user is gone."""
        hashed = await self.hashed(password)
        return await self.store.update_user(user_id, end_tokens=True, must_change=False, **hashed)

    async def add_project(
        self, domain_id: str, name: str, project_id: str | None = None, description: str = ""
    ) -> Project:
        """A new project of an account. Raises ApiError DIS.4200, catalog.Exists, QuotaExceeded."""
        project = Project(
            project_id=check_project_id("id", project_id or new_id()),
            domain_id=domain_id,
            name=check_name("name", name),
            description=description,
            created_ms=self.clock.now_ms(),
        )
        return await self.store.add_project(project)

    async def add_access_key(
        self,
        user_id: str,
        access_key: str | None = None,
        secret_key: str | None = None,
        description: str = "",
    ) -> tuple[str, str]:
        """A new access key of a user: (id, secret), the only time the secret is told. Raises ApiError DIS.4200,
        catalog.Exists, catalog.QuotaExceeded."""
        access_key, secret_key = access_key or new_access_key(), secret_key or new_secret_key()
        check_text(ACCESS_KEY, "access_key", access_key)
        secret = check_text(SECRET_KEY, "secret_key", secret_key).encode()
        sealed = self._sealer.seal(secret, key_purpose(access_key))
        row = AccessKey(access_key, user_id, sealed, self.clock.now_ms(), description=description)
        await self.store.add_key(row)
        return access_key, secret_key


def check_password(field: str, password: str, user_name: str, limits: Limits) -> str:
    """A password somebody chose. Raises ApiError DIS.4200 when it is too short, too long, or the user's name either way round."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError as error:
        raise malformed(field, "is no text") from error
    if len(password) < limits.password_length_min or size > PASSWORD_BYTES or not password.isprintable():
        raise invalid(
            field,
            f"{limits.password_length_min} or more printable characters, at most {PASSWORD_BYTES} bytes",
        )
    if password.casefold() in (user_name.casefold(), user_name[::-1].casefold()):
        raise invalid(field, "is the user's name, or that backwards")
    return password


def key_purpose(access_key: str) -> bytes:
    """What an access key's secret is sealed for."""
    return f"access-key:{access_key}".encode()
