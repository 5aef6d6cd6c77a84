"""Who exists: accounts, users, groups, projects, access keys, policies and who is granted what, in memory and in the catalog.

Owns the copy in memory and the order of a change: the catalog first, then memory, then whoever asked to be told. Knows no
passwords, no tokens and no HTTP; what a policy means is `policies`'. `refresh` reads what another process wrote.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from penstock.catalog.base import (
    AccessKey,
    Catalog,
    Change,
    Domain,
    Insert,
    Project,
    Put,
    Quota,
    Remove,
    Replace,
    User,
)
from penstock.catalog.rows import ACCESS_KEYS, DOMAINS, PROJECTS, USERS
from penstock.catalog.tables.iam import (
    AGENCIES,
    GRANTS,
    GROUPS,
    MEMBERSHIPS,
    POLICIES,
    REVOKED,
    Agency,
    CustomPolicy,
    Grant,
    Group,
    Membership,
    RevokedToken,
)
from penstock.limits import Limits


class Store:
    """Read its mappings freely; change them through its methods only. Rows are immutable: a change is another object."""

    def __init__(self, catalog: Catalog, limits: Limits) -> None:
        self.domains: dict[str, Domain] = {}
        self.users: dict[str, User] = {}
        self.projects: dict[str, Project] = {}
        self.keys: dict[str, AccessKey] = {}
        self.groups: dict[str, Group] = {}
        self.policies: dict[str, CustomPolicy] = {}
        self.agencies: dict[str, Agency] = {}
        self.revoked: dict[str, RevokedToken] = {}
        self._members: defaultdict[str, set[str]] = defaultdict(set)
        self._groups_of: defaultdict[str, set[str]] = defaultdict(set)
        self._grants: defaultdict[str, set[Grant]] = defaultdict(set)
        self._user_names: dict[tuple[str, str], str] = {}
        self._catalog = catalog
        self._limits = limits
        self._callbacks: list[Callable[[], None]] = []
        self._lock = asyncio.Lock()
        """Held over each change: two of one user at once would each write over the other's."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change, once memory says it."""
        self._callbacks.append(callback)

    def changed(self) -> None:
        """Tell everybody who asked."""
        for callback in self._callbacks:
            callback()

    async def refresh(self) -> None:
        """Read everything again from the catalog."""
        async with self._lock:
            catalog = self._catalog
            domains, users = await catalog.domains(), await catalog.users()
            projects, keys = await catalog.projects(), await catalog.access_keys()
            groups, members = await catalog.select(GROUPS), await catalog.select(MEMBERSHIPS)
            policies, grants = await catalog.select(POLICIES), await catalog.select(GRANTS)
            agencies, revoked = await catalog.select(AGENCIES), await catalog.select(REVOKED)
            # No await from here: requests see the old state or the new one.
            self.domains = {domain.domain_id: domain for domain in domains}
            self.users = {user.user_id: user for user in users}
            self.projects = {project.project_id: project for project in projects}
            self.keys = {key.access_key: key for key in keys}
            self.groups = {group.group_id: group for group in groups}
            self.policies = {policy.policy_id: policy for policy in policies}
            self.agencies = {agency.agency_id: agency for agency in agencies}
            self.revoked = {token.audit_id: token for token in revoked}
            self._user_names = {(user.domain_id, user.name): user.user_id for user in users}
            self._members.clear()
            self._groups_of.clear()
            self._grants.clear()
            for member in members:
                self._join(member)
            for grant in grants:
                self._grants[grant.subject].add(grant)
            self.changed()

    async def settle_owners(self) -> None:
        """Accounts written before there were owners had one user, who is it from now on."""
        async with self._lock:
            for user in sorted(self.users.values(), key=lambda user: (user.created_ms, user.user_id)):
                domain = self.domains.get(user.domain_id)
                if domain is not None and not domain.owner_id:
                    domain = msgspec.structs.replace(domain, owner_id=user.user_id)
                    await self._apply(Replace(DOMAINS, domain))
                    self.domains[domain.domain_id] = domain
            self.changed()

    async def settle_operator(self) -> None:
        """The account of the first start is the operator's: the one whose owner is the oldest, where none says so yet."""
        async with self._lock:
            owned = [domain for domain in self.domains.values() if domain.owner_id in self.users]
            if not owned or any(domain.operator for domain in owned):
                return
            first = min(owned, key=lambda domain: (self.users[domain.owner_id].created_ms, domain.domain_id))
            first = msgspec.structs.replace(first, operator=True)
            await self._apply(Replace(DOMAINS, first))
            self.domains[first.domain_id] = first
            self.changed()

    async def furnish(self, make: Callable[[Domain], Agency]) -> None:
        """Give accounts that never had one their default agency."""
        async with self._lock:
            for domain in [one for one in self.domains.values() if not one.furnished]:
                furnished = msgspec.structs.replace(domain, furnished=True)
                changes: list[Change] = [Replace(DOMAINS, furnished)]
                agency = make(domain)
                named = self.agency_named(domain.domain_id, agency.name)
                await self._apply(*changes, *([Insert(AGENCIES, agency)] if named is None else []))
                if named is None:
                    self.agencies[agency.agency_id] = agency
                self.domains[domain.domain_id] = furnished
            self.changed()

    # Looking up -----------------------------------------------------------------------------------------------------

    def domain(self, *, domain_id: str | None = None, name: str | None = None) -> Domain | None:
        """An account by id or name."""
        if domain_id:
            found = self.domains.get(domain_id)
            return found if found is not None and name in (None, "", found.name) else None
        return next((domain for domain in self.domains.values() if name and domain.name == name), None)

    def user_named(self, domain_id: str, name: str) -> User | None:
        """A user of an account."""
        user_id = self._user_names.get((domain_id, name))
        return self.users.get(user_id) if user_id else None

    def users_of(self, domain_id: str) -> list[User]:
        """All users of an account, by name."""
        return sorted((u for u in self.users.values() if u.domain_id == domain_id), key=lambda u: u.name)

    def groups_of(self, domain_id: str) -> list[Group]:
        """All groups of an account, by name."""
        return sorted((g for g in self.groups.values() if g.domain_id == domain_id), key=lambda g: g.name)

    def projects_of(self, domain_id: str) -> list[Project]:
        """All projects of an account."""
        return [project for project in self.projects.values() if project.domain_id == domain_id]

    def policies_of(self, domain_id: str) -> list[CustomPolicy]:
        """All custom policies of an account, by name."""
        return sorted((p for p in self.policies.values() if p.domain_id == domain_id), key=lambda p: p.name)

    def agencies_of(self, domain_id: str) -> list[Agency]:
        """All agencies of an account, by name."""
        return sorted((a for a in self.agencies.values() if a.domain_id == domain_id), key=lambda a: a.name)

    def agency_named(self, domain_id: str, name: str) -> Agency | None:
        """An agency of an account."""
        return next(
            (a for a in self.agencies.values() if a.domain_id == domain_id and a.name == name),
            None,
        )

    def keys_of(self, user_id: str) -> list[AccessKey]:
        """All access keys of a user."""
        return [key for key in self.keys.values() if key.user_id == user_id]

    def members(self, group_id: str) -> set[str]:
        """Ids of a group's users."""
        return self._members.get(group_id, set())

    def memberships(self, user_id: str) -> set[str]:
        """Ids of a user's groups."""
        return self._groups_of.get(user_id, set())

    def grants(self, subject: str) -> set[Grant]:
        """What a subject (see Grant) itself is granted."""
        return self._grants.get(subject, set())

    def all_grants(self) -> Iterable[Grant]:
        """Everybody's."""
        return (grant for grants in self._grants.values() for grant in grants)

    def subjects(self, user_id: str) -> list[str]:
        """A user and the user's groups, as grants call them."""
        return [f"user:{user_id}", *(f"group:{group_id}" for group_id in sorted(self.memberships(user_id)))]

    # Accounts, projects, keys ---------------------------------------------------------------------------------------

    async def add_domain(self, domain: Domain, *rows: User | Project | Agency | AccessKey) -> Domain:
        """With what it has from the beginning, all or nothing. Raises catalog.Exists for a name that is taken, QuotaExceeded."""
        tables: dict[type, Any] = {
            User: USERS,
            Project: PROJECTS,
            Agency: AGENCIES,
            AccessKey: ACCESS_KEYS,
        }
        async with self._lock:
            first: Change = Insert(DOMAINS, domain, (Quota({}, self._limits.accounts),))
            await self._apply(first, *(Insert(tables[type(row)], row) for row in rows))
            self.domains[domain.domain_id] = domain
            for row in rows:
                if isinstance(row, User):
                    self.users[row.user_id] = row
                    self._user_names[row.domain_id, row.name] = row.user_id
                elif isinstance(row, Project):
                    self.projects[row.project_id] = row
                elif isinstance(row, AccessKey):
                    self.keys[row.access_key] = row
                else:
                    self.agencies[row.agency_id] = row
            self.changed()
            return domain

    async def add_project(self, project: Project) -> Project:
        """Raises catalog.Exists, QuotaExceeded."""
        async with self._lock:
            quota = Quota({"domain_id": project.domain_id}, self._limits.projects_per_account)
            await self._apply(Insert(PROJECTS, project, (quota,)))
            self.projects[project.project_id] = project
            self.changed()
            return project

    async def update_project(self, project_id: str, **changes: Any) -> Project:
        """Raises KeyError when it is gone, catalog.Exists."""
        async with self._lock:
            project = msgspec.structs.replace(self.projects[project_id], **changes)
            await self._apply(Replace(PROJECTS, project))
            self.projects[project_id] = project
            self.changed()
            return project

    async def add_key(self, key: AccessKey) -> AccessKey:
        """Raises catalog.Exists, QuotaExceeded."""
        async with self._lock:
            quota = Quota({"user_id": key.user_id}, self._limits.access_keys_per_user)
            await self._apply(Insert(ACCESS_KEYS, key, (quota,)))
            self.keys[key.access_key] = key
            self.changed()
            return key

    async def update_key(self, access_key: str, **changes: Any) -> AccessKey:
        """Raises KeyError when it is gone."""
        async with self._lock:
            key = msgspec.structs.replace(self.keys[access_key], **changes)
            await self._apply(Replace(ACCESS_KEYS, key))
            self.keys[access_key] = key
            self.changed()
            return key

    async def remove_key(self, access_key: str) -> None:
        """No error when it is gone."""
        async with self._lock:
            await self._apply(Remove(ACCESS_KEYS, {"access_key": access_key}))
            self.keys.pop(access_key, None)
            self.changed()

    # Users ----------------------------------------------------------------------------------------------------------

    async def add_user(self, user: User) -> User:
        """The first user of an account becomes its owner. Raises catalog.Exists, QuotaExceeded."""
        async with self._lock:
            domain = self.domains[user.domain_id]
            quota = Quota({"domain_id": user.domain_id}, self._limits.users_per_account)
            changes: list[Change] = [Insert(USERS, user, (quota,))]
            if not domain.owner_id:
                first = not any(one.operator for one in self.domains.values())
                domain = msgspec.structs.replace(domain, owner_id=user.user_id, operator=first)
                changes.append(Replace(DOMAINS, domain))
            await self._apply(*changes)
            self.users[user.user_id] = user
            self._user_names[user.domain_id, user.name] = user.user_id
            self.domains[domain.domain_id] = domain
            self.changed()
            return user

    async def update_user(self, user_id: str, *, end_tokens: bool = False, **changes: Any) -> User:
        """With `end_tokens`, no token of the user made before holds any more. Raises KeyError when the user is gone,
        catalog.Exists for a name that is taken."""
        async with self._lock:
            before = self.users[user_id]
            epoch = before.epoch + 1 if end_tokens else before.epoch
            user = msgspec.structs.replace(before, epoch=epoch, **changes)
            await self._apply(Replace(USERS, user))
            self.users[user_id] = user
            del self._user_names[before.domain_id, before.name]
            self._user_names[user.domain_id, user.name] = user_id
            self.changed()
            return user

    async def remove_user(self, user_id: str) -> None:
        """With the user's keys, memberships and grants. No error when the user is gone."""
        async with self._lock:
            await self._apply(
                Remove(ACCESS_KEYS, {"user_id": user_id}),
                Remove(MEMBERSHIPS, {"user_id": user_id}),
                Remove(GRANTS, {"subject": f"user:{user_id}"}),
                Remove(REVOKED, {"user_id": user_id}),
                Remove(USERS, {"user_id": user_id}),
            )
            user = self.users.pop(user_id, None)
            if user is not None:
                del self._user_names[user.domain_id, user.name]
            self.keys = {name: key for name, key in self.keys.items() if key.user_id != user_id}
            self.revoked = {name: token for name, token in self.revoked.items() if token.user_id != user_id}
            for group_id in self._groups_of.pop(user_id, set()):
                self._members[group_id].discard(user_id)
            self._grants.pop(f"user:{user_id}", None)
            self.changed()

    # Groups ---------------------------------------------------------------------------------------------------------

    async def add_group(self, group: Group) -> Group:
        """Raises catalog.Exists, QuotaExceeded."""
        async with self._lock:
            quota = Quota({"domain_id": group.domain_id}, self._limits.groups_per_account)
            await self._apply(Insert(GROUPS, group, (quota,)))
            self.groups[group.group_id] = group
            self.changed()
            return group

    async def update_group(self, group_id: str, **changes: Any) -> Group:
        """Raises KeyError when it is gone, catalog.Exists."""
        async with self._lock:
            group = msgspec.structs.replace(self.groups[group_id], **changes)
            await self._apply(Replace(GROUPS, group))
            self.groups[group_id] = group
            self.changed()
            return group

    async def remove_group(self, group_id: str) -> None:
        """With its memberships and grants. No error when it is gone."""
        async with self._lock:
            subject = f"group:{group_id}"
            await self._apply(
                Remove(MEMBERSHIPS, {"group_id": group_id}),
                Remove(GRANTS, {"subject": subject}),
                Remove(GROUPS, {"group_id": group_id}),
            )
            self.groups.pop(group_id, None)
            for user_id in self._members.pop(group_id, set()):
                self._groups_of[user_id].discard(group_id)
            self._grants.pop(subject, None)
            self.changed()

    async def add_member(self, group_id: str, user_id: str) -> None:
        """No error when the user is a member already. Raises QuotaExceeded when the user is in as many groups as may be."""
        async with self._lock:
            member = Membership(group_id, user_id)
            quota = Quota({"user_id": user_id}, self._limits.groups_per_user)
            await self._apply(Put(MEMBERSHIPS, member, (quota,)))
            self._join(member)
            self.changed()

    async def remove_member(self, group_id: str, user_id: str) -> None:
        """No error when the user is none."""
        async with self._lock:
            await self._apply(Remove(MEMBERSHIPS, {"group_id": group_id, "user_id": user_id}))
            self._members[group_id].discard(user_id)
            self._groups_of[user_id].discard(group_id)
            self.changed()

    def _join(self, member: Membership) -> None:
        self._members[member.group_id].add(member.user_id)
        self._groups_of[member.user_id].add(member.group_id)

    # Policies and grants --------------------------------------------------------------------------------------------

    async def add_policy(self, policy: CustomPolicy) -> CustomPolicy:
        """Raises catalog.Exists, QuotaExceeded."""
        async with self._lock:
            quota = Quota({"domain_id": policy.domain_id}, self._limits.policies_per_account)
            await self._apply(Insert(POLICIES, policy, (quota,)))
            self.policies[policy.policy_id] = policy
            self.changed()
            return policy

    async def replace_policy(self, policy: CustomPolicy) -> CustomPolicy:
        """Raises catalog.Missing, Exists."""
        async with self._lock:
            await self._apply(Replace(POLICIES, policy))
            self.policies[policy.policy_id] = policy
            self.changed()
            return policy

    async def remove_policy(self, policy_id: str) -> None:
        """With its grants. No error when it is gone."""
        async with self._lock:
            await self._apply(
                Remove(GRANTS, {"policy_id": policy_id}), Remove(POLICIES, {"policy_id": policy_id})
            )
            self.policies.pop(policy_id, None)
            for subject, grants in self._grants.items():
                self._grants[subject] = {grant for grant in grants if grant.policy_id != policy_id}
            self.changed()

    async def add_grant(self, grant: Grant) -> None:
        """No error when it is there. Raises QuotaExceeded."""
        async with self._lock:
            quota = Quota({"subject": grant.subject}, self._limits.grants_per_subject)
            await self._apply(Put(GRANTS, grant, (quota,)))
            self._grants[grant.subject].add(grant)
            self.changed()

    async def remove_grant(self, grant: Grant) -> None:
        """No error when it is not there."""
        async with self._lock:
            key = {"subject": grant.subject, "scope": grant.scope, "policy_id": grant.policy_id}
            await self._apply(Remove(GRANTS, key))
            self._grants[grant.subject].discard(grant)
            self.changed()

    async def remove_grants(self, subject: str) -> None:
        """All of a subject that goes away."""
        async with self._lock:
            await self._apply(Remove(GRANTS, {"subject": subject}))
            self._grants.pop(subject, None)
            self.changed()

    # Agencies -------------------------------------------------------------------------------------------------------

    async def add_agency(self, agency: Agency) -> Agency:
        """Raises catalog.Exists, QuotaExceeded."""
        async with self._lock:
            quota = Quota({"domain_id": agency.domain_id}, self._limits.agencies_per_account)
            await self._apply(Insert(AGENCIES, agency, (quota,)))
            self.agencies[agency.agency_id] = agency
            self.changed()
            return agency

    async def update_agency(self, agency_id: str, **changes: Any) -> Agency:
        """Raises KeyError when it is gone."""
        async with self._lock:
            before = self.agencies[agency_id]
            agency = msgspec.structs.replace(before, epoch=before.epoch + 1, **changes)
            await self._apply(Replace(AGENCIES, agency))
            self.agencies[agency_id] = agency
            self.changed()
            return agency

    async def remove_agency(self, agency_id: str) -> None:
        """With its grants. No error when it is gone."""
        async with self._lock:
            subject = f"agency:{agency_id}"
            await self._apply(
                Remove(GRANTS, {"subject": subject}), Remove(AGENCIES, {"agency_id": agency_id})
            )
            self.agencies.pop(agency_id, None)
            self._grants.pop(subject, None)
            self.changed()

    # Tokens ---------------------------------------------------------------------------------------------------------

    async def revoke(self, token: RevokedToken, now_ms: int) -> None:
        """Keep that a token holds no more, and forget those that would have expired by now. A user who revokes more of them than
        `revoked_tokens_per_user` ends all tokens: what is kept stays bounded, and nothing revoked comes back."""
        async with self._lock:
            gone = [one for one in self.revoked.values() if one.expires_ms <= now_ms]
            changes: list[Change] = [Remove(REVOKED, {"audit_id": one.audit_id}) for one in gone]
            mine = [
                one
                for one in self.revoked.values()
                if one.user_id == token.user_id and one.expires_ms > now_ms
            ]
            user = self.users.get(token.user_id)
            if user is not None and len(mine) >= self._limits.revoked_tokens_per_user:
                user = msgspec.structs.replace(user, epoch=user.epoch + 1)
                changes += [Remove(REVOKED, {"user_id": user.user_id}), Replace(USERS, user)]
                await self._apply(*changes)
                self.users[user.user_id] = user
                gone += mine
            else:
                await self._apply(*changes, Put(REVOKED, token))
                self.revoked[token.audit_id] = token
            for one in gone:
                self.revoked.pop(one.audit_id, None)
            self.changed()

    async def _apply(self, *changes: Change) -> None:
        await self._catalog.apply(*changes)
