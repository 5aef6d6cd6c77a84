"""What a principal may do: the policies granted to it, where, and what they say together. Owns the decisions it has made, which
are kept until anything changes: they are on the hot path. Who exists is `store`'s, what a policy means is `policies`'.
"""

from __future__ import annotations

from functools import lru_cache

from penstock.iam import roles
from penstock.iam.actions import supports_enterprise
from penstock.iam.base import Principal
from penstock.iam.policies import Policy, decide, read_stored
from penstock.iam.store import Store

ANY_ENTERPRISE = "*"
"""For `allows`: in whichever enterprise project, when what it is about is not known yet."""

_KEPT = 65_536


class Decisions:
    """Decisions about everybody in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str | None, str, str | None, str], bool] = {}
        self._compiled: dict[str, Policy] = {}
        store.on_change(self._forget)

    def _forget(self) -> None:
        self._kept.clear()
        self._compiled.clear()

    def allows(
        self,
        principal: Principal,
        project_id: str | None,
        action: str,
        enterprise_project: str | None = None,
        resource: str = "",
    ) -> bool:
        """Whether groups and policies allow a principal an action: in a project, or with None in the account.
        `enterprise_project` is that of the stream it is about, None when it is about no stream; `resource` an agency's URI."""
        if principal.owner:
            return True
        if enterprise_project is not None and not supports_enterprise(action):
            enterprise_project = None
        if principal.narrowed:
            # Not kept: whoever makes temporary keys can narrow each in another way.
            return self._decide_narrowed(principal, project_id, action, enterprise_project, resource)
        if principal.external:
            return self._decide_external(principal, project_id, action, resource)
        key = (principal.assumed or principal.user_id, project_id, action, enterprise_project, resource)
        decision = self._kept.get(key)
        if decision is None:
            decision = self._decide(principal, project_id, action, enterprise_project, resource)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = decision
        return decision

    def within(self, principal: Principal, project_id: str | None, action: str) -> bool:
        """Whether what narrows a temporary key leaves it an action that something else than grants allows."""
        if not principal.narrowed:
            return True
        policy = _narrowing(principal.narrowed)
        return bool(decide((policy,), action, self._attributes(principal, project_id)))

    def policy(self, policy_id: str) -> Policy:
        """A policy ready to be asked, system-defined or custom; one that is gone says nothing."""
        known = self._compiled.get(policy_id)
        if known is None:
            system, custom = roles.BY_ID.get(policy_id), self._store.policies.get(policy_id)
            known = system.policy if system else read_stored(custom.text) if custom else ()
            self._compiled[policy_id] = known
        return known

    def _decide_narrowed(
        self,
        principal: Principal,
        project_id: str | None,
        action: str,
        enterprise_project: str | None,
        resource: str,
    ) -> bool:
        """What narrows a temporary key has to allow it, and so has everything else."""
        policy, attributes = _narrowing(principal.narrowed), self._attributes(principal, project_id)
        if not decide((policy,), action, attributes, resource):
            return False
        user = None if principal.assumed else self._store.users.get(principal.user_id)
        if user is not None and self._store.domains[user.domain_id].owner_id == user.user_id:
            return True
        return self._decide(principal, project_id, action, enterprise_project, resource)

    def _decide_external(
        self, principal: Principal, project_id: str | None, action: str, resource: str
    ) -> bool:
        """Roles of an external Keystone are system-defined policies of these names, or custom ones of the operator's account; they
        count in the token's project, and nowhere else."""
        if project_id is None or project_id != principal.project_id:
            return False
        operator = next((one.domain_id for one in self._store.domains.values() if one.operator), "")
        named = {one.name: one.policy_id for one in self._store.policies_of(operator) if one.kind == "XA"}
        found = [
            roles.BY_NAME[name].policy if name in roles.BY_NAME else self.policy(named[name])
            for name in principal.roles
            if name in roles.BY_NAME or name in named
        ]
        return bool(decide(found, action, self._attributes(principal, project_id), resource))

    def _decide(
        self,
        principal: Principal,
        project_id: str | None,
        action: str,
        enterprise_project: str | None,
        resource: str,
    ) -> bool:
        attributes = self._attributes(principal, project_id)
        here, enterprise = self._granted(principal, project_id)
        verdict = decide(here, action, attributes, resource)
        if enterprise_project is None or verdict is False:
            return bool(verdict)
        if enterprise_project != ANY_ENTERPRISE:
            both = [*here, *enterprise.get(enterprise_project, ())]
            return bool(decide(both, action, attributes, resource))
        return bool(verdict) or any(
            decide(policies, action, attributes, resource) for policies in enterprise.values()
        )

    def _attributes(self, principal: Principal, project_id: str | None) -> dict[str, str]:
        """What conditions of policies ask about."""
        project = self._store.projects.get(project_id or "")
        return {
            "g:UserId": principal.user_id,
            "g:UserName": principal.user_name,
            "g:DomainId": principal.domain_id,
            "g:DomainName": principal.domain_name,
            "g:ProjectName": project.name if project else "",
        }

    def _granted(
        self, principal: Principal, project_id: str | None
    ) -> tuple[list[Policy], dict[str, list[Policy]]]:
        """Policies granted in the project (or the account), and those granted in each enterprise project."""
        place = f"domain:{principal.domain_id}" if project_id is None else f"project:{project_id}"
        scopes = {place, f"inherited:{principal.domain_id}"}
        here: list[Policy] = []
        enterprise: dict[str, list[Policy]] = {}
        subjects = [principal.assumed] if principal.assumed else self._store.subjects(principal.user_id)
        for subject in subjects:
            for grant in self._store.grants(subject):
                kind, _, name = grant.scope.partition(":")
                if grant.scope in scopes:
                    here.append(self.policy(grant.policy_id))
                elif kind == "enterprise":
                    enterprise.setdefault(name, []).append(self.policy(grant.policy_id))
        return here, enterprise


@lru_cache(maxsize=256)
def _narrowing(text: str) -> Policy:
    return read_stored(text)
