"""The embedded IAM: accounts, users, projects and access keys in memory, read from the catalog.

Owns who exists and what a token or key stands for; knows no HTTP. Reads are answered from memory (authentication is
on the hot path), writes go to the catalog first. `refresh` picks up what another process wrote.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from typing import NamedTuple, NoReturn

from penstock.catalog.base import AccessKey, Catalog, Domain, Project, User
from penstock.clock import Clock
from penstock.errors import ApiError, invalid
from penstock.iam.base import Principal
from penstock.iam.failures import Failures
from penstock.iam.passwords import Passwords
from penstock.iam.refused import Refused
from penstock.iam.sealing import Sealer, kept_secret
from penstock.iam.tokens import Claims, Tokens, check_time
from penstock.limits import Limits

PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ACCESS_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
SECRET_KEY = re.compile(r"[!-~]{1,256}")
NAME_LENGTH = 64

_TOKEN_CACHE = 4096
_TOKEN_KEY = "token-key"  # noqa: S105 the name it has in the catalog, not the key


class SigningKey(NamedTuple):
    """An enabled access key: its secret in clear and who it stands for."""

    secret: bytes
    principal: Principal


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
        *,
        auth: bool,
        region: str,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.region = region
        self.auth = auth
        """False with `--auth off`: everybody is the first user, any project exists."""
        self.failures = Failures(clock, limits.failures_per_minute)
        self._catalog = catalog
        self._sealer = sealer
        self._tokens = tokens
        self._passwords = Passwords()
        self._domains: dict[str, Domain] = {}
        self._users: dict[str, User] = {}
        self._projects: dict[str, Project] = {}
        self._keys: dict[str, SigningKey] = {}
        self._believed: dict[bytes, tuple[Claims, Principal]] = {}

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
        tokens = Tokens(await kept_secret(catalog, sealer, _TOKEN_KEY))
        identity = cls(catalog, sealer, clock, limits, tokens, auth=auth, region=region)
        await identity.refresh()
        return identity

    async def refresh(self) -> None:
        """Read everything again from the catalog."""
        domains = {domain.domain_id: domain for domain in await self._catalog.domains()}
        users = {user.user_id: user for user in await self._catalog.users()}
        projects = {project.project_id: project for project in await self._catalog.projects()}
        rows = await self._catalog.access_keys()
        # No await from here: requests see the old state or the new one.
        self._domains, self._users, self._projects = domains, users, projects
        self._keys = {}
        self._believed.clear()
        for row in rows:
            self._add_key(row, self._sealer.unseal(row.sealed_secret, key_purpose(row.access_key)))

    # Who exists

    def domain(self, *, domain_id: str | None = None, name: str | None = None) -> Domain | None:
        """An account by id or name."""
        if domain_id:
            found = self._domains.get(domain_id)
            return found if found is not None and name in (None, "", found.name) else None
        return next((domain for domain in self._domains.values() if name and domain.name == name), None)

    def domain_of(self, user: User) -> Domain:
        return self._domains[user.domain_id]

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
            return self._users.get(user_id)
        domain = self.domain(domain_id=domain_id, name=domain_name)
        if domain is None or not name:
            return None
        mine = (user for user in self._users.values() if user.domain_id == domain.domain_id)
        return next((user for user in mine if user.name == name), None)

    def first_user(self) -> User:
        """Who everybody is with `--auth off`: the user made at first start."""
        return next(iter(self._users.values()))

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
        return [project for project in self._projects.values() if project.domain_id == domain_id]

    def owns(self, domain_id: str, project_id: str) -> bool:
        """Whether a project is one of an account's."""
        project = self._projects.get(project_id)
        return project is not None and project.domain_id == domain_id

    def principal(self, user: User, project: Project | None = None, *, signed: bool = False) -> Principal:
        """`user` as the rest of the server sees it."""
        return Principal(
            user_id=user.user_id,
            user_name=user.name,
            domain_id=user.domain_id,
            domain_name=self._domains[user.domain_id].name,
            project_id=project.project_id if project else None,
            project_name=project.name if project else None,
            signed=signed,
            owner=True,
        )

    def allows(
        self, principal: Principal, project_id: str, action: str, enterprise_project: str | None
    ) -> bool:
        """Whether groups and policies allow a user an action in a project; `enterprise_project` is that of the stream
        it is about, None when it is about no stream."""
        return principal.owner

    def signing_key(self, access_key: str) -> SigningKey | None:
        """An enabled access key of an enabled user."""
        return self._keys.get(access_key)

    # Passwords and tokens

    async def login(self, peer: str, user: User | None, who: str, password: str) -> User:
        """Check a password. `who` is what the client called the user: failures count under it and the address.
        The work is the same when there is no such user. Raises ApiError APIGW.0301, DIS.4309, APIGW.0203."""
        if not self.auth:
            return self.first_user()
        known = user is not None and user.enabled
        right = await self._passwords.verify(user.password_hash if known and user else None, password)
        if not right or user is None:
            self.refuse(peer, "login:" + who, Refused("the user name, domain or password is wrong"))
        return user

    def refuse(self, peer: str, key: str, refused: Refused) -> NoReturn:
        """Raise what a client is told: APIGW.0301, or DIS.4309 after too many failures of `peer` with `key`."""
        digest = hashlib.blake2s(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        if refused.counts and self.failures.record(peer, digest):
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
    ) -> Issued:
        """A token of `user`: for a project, for the account, or for neither. `expires_ms` caps its life (a token
        made from a token does not outlive it)."""
        now = self.clock.now_ms()
        ends = now + self.limits.token_seconds * 1000
        claims = Claims(
            user_id=user.user_id,
            domain_id=user.domain_id,
            project_id=project.project_id if project else None,
            domain_scope=domain_scope,
            methods=methods,
            issued_ms=now,
            expires_ms=ends if expires_ms is None else min(ends, expires_ms),
            audit_id=secrets.token_urlsafe(12),
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
            return believed
        claims = self._tokens.read(token, now_ms=now, skew_seconds=skew)
        user = self._users.get(claims.user_id)
        if user is None or not user.enabled or user.domain_id != claims.domain_id:
            raise Refused("the user of X-Auth-Token is gone or disabled", counts=False)
        project = None
        if claims.project_id is not None:
            project = self.project(claims.domain_id, project_id=claims.project_id)
            if project is None:
                raise Refused("the project of X-Auth-Token is gone", counts=False)
        believed = claims, self.principal(user, project)
        if len(self._believed) >= _TOKEN_CACHE:
            del self._believed[next(iter(self._believed))]
        self._believed[token] = believed
        return believed

    # Changes

    async def add_domain(self, name: str, domain_id: str | None = None) -> Domain:
        """A new account. Raises ApiError DIS.4200 for a bad name, catalog.Exists for one taken."""
        domain = Domain(domain_id=domain_id or secrets.token_hex(16), name=check_name("name", name))
        await self._catalog.insert_domain(domain)
        self._domains[domain.domain_id] = domain
        return domain

    async def add_user(self, domain_id: str, name: str, password: str) -> User:
        """A new user of an account. Raises ApiError DIS.4200, catalog.Exists."""
        if not password:
            raise invalid("password", "is empty")
        user = User(
            user_id=secrets.token_hex(16),
            domain_id=domain_id,
            name=check_name("name", name),
            password_hash=await self._passwords.hash(password),
        )
        await self._catalog.insert_user(user)
        self._users[user.user_id] = user
        return user

    async def add_project(self, domain_id: str, name: str, project_id: str | None = None) -> Project:
        """A new project of an account. Raises ApiError DIS.4200, catalog.Exists."""
        project = Project(
            project_id=check_project_id("id", project_id or secrets.token_hex(16)),
            domain_id=domain_id,
            name=check_name("name", name),
        )
        await self._catalog.insert_project(project)
        self._projects[project.project_id] = project
        return project

    async def add_access_key(
        self, user_id: str, access_key: str | None = None, secret_key: str | None = None
    ) -> tuple[str, str]:
        """A new access key of a user: (id, secret), the only time the secret is told. Raises ApiError DIS.4200,
        catalog.Exists, catalog.QuotaExceeded."""
        access_key, secret_key = access_key or new_access_key(), secret_key or new_secret_key()
        row = AccessKey(
            access_key=check_text(ACCESS_KEY, "access_key", access_key),
            user_id=user_id,
            sealed_secret=self._sealer.seal(
                check_text(SECRET_KEY, "secret_key", secret_key).encode(), key_purpose(access_key)
            ),
            created_ms=self.clock.now_ms(),
        )
        await self._catalog.insert_access_key(row, self.limits.access_keys_per_user)
        self._add_key(row, secret_key.encode())
        return access_key, secret_key

    def _add_key(self, row: AccessKey, secret: bytes) -> None:
        user = self._users.get(row.user_id)
        if row.enabled and user is not None and user.enabled:
            self._keys[row.access_key] = SigningKey(secret, self.principal(user, signed=True))


def key_purpose(access_key: str) -> bytes:
    """What an access key's secret is sealed for."""
    return f"access-key:{access_key}".encode()


def new_access_key() -> str:
    """20 characters of A-Z and 0-9."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20))


def new_secret_key() -> str:
    """40 letters and digits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))


def check_name(field: str, name: str) -> str:
    """A name of an account, user or project: 1 to 64 printable characters. Raises ApiError DIS.4200."""
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise invalid(field, f"a name is 1 to {NAME_LENGTH} printable characters")
    return name


def check_project_id(field: str, project_id: str) -> str:
    """1 to 64 letters, digits, `_` and `-`: it is a part of paths. Raises ApiError DIS.4200."""
    return check_text(PROJECT_ID, field, project_id)


def check_text(form: re.Pattern[str], field: str, text: str) -> str:
    """`text` if it has the form. Raises ApiError DIS.4200."""
    if not form.fullmatch(text):
        raise invalid(field, f"must match {form.pattern}")
    return text
