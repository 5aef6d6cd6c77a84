"""The public client of the IAM API, `huaweicloudsdkiam`, unmodified, over TCP: every operation of it for projects, users, groups,
policies, grants and tokens, as an IAM user's streams through `huaweicloudsdkdis` feel them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import huaweicloudsdkiam.v3 as v3
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import DisClient, ListStreamsRequest
from huaweicloudsdkiam.v3 import IamClient
from tests.support.accounts import Login, add_users
from tests.support.iam import PASSWORD, Iam, unique
from tests.support.server import Server

Client = Any


def client_of(server: Server, ak: str, sk: str, domain_id: str) -> Client:
    keys = GlobalCredentials(ak, sk, domain_id)
    return IamClient.new_builder().with_credentials(keys).with_endpoint(server.endpoint).build()


@pytest.fixture(scope="module")
def clerk(server: Server) -> Login:
    """An IAM user with a key and no permissions."""
    server.terminate()
    (made,) = add_users(server.data, server.account, "clerk")
    server.start()
    return made


@pytest.fixture(scope="module")
def domain_id(clerk: Login) -> str:
    return clerk.domain_id


@pytest.fixture(scope="module")
def client(server: Server, domain_id: str) -> Client:
    return client_of(server, server.ak, server.sk, domain_id)


@pytest.fixture(scope="module")
def iam(server: Server, clerk: Login) -> Iterator[Iam]:
    with Iam.owner(server) as one:
        yield one


def refused(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ClientRequestException) as caught:
        call()
    assert caught.value.request_id
    assert caught.value.error_msg
    return caught.value.status_code, caught.value.error_code


class TestUsers:
    def test_create_list_show_update_delete(self, client: Client, domain_id: str) -> None:
        name = unique("sdk")
        option = v3.KeystoneCreateUserOption(
            name=name, domain_id=domain_id, password=PASSWORD, enabled=True, description="one"
        )
        body = v3.KeystoneCreateUserRequestBody(user=option)
        made = client.keystone_create_user(v3.KeystoneCreateUserRequest(body=body)).user
        assert (made.name, made.enabled, made.domain_id, made.description) == (name, True, domain_id, "one")
        assert made.links._self.endswith(f"/v3/users/{made.id}")
        listed = client.keystone_list_users(v3.KeystoneListUsersRequest(domain_id=domain_id, name=name))
        assert [user.id for user in listed.users] == [made.id]
        shown = client.keystone_show_user(v3.KeystoneShowUserRequest(user_id=made.id)).user
        assert (shown.name, shown.pwd_status) == (name, False)
        change = v3.KeystoneUpdateUserOption(description="two", enabled=False)
        updated = client.keystone_update_user_by_admin(
            v3.KeystoneUpdateUserByAdminRequest(
                user_id=made.id, body=v3.KeystoneUpdateUserByAdminRequestBody(user=change)
            )
        ).user
        assert (updated.description, updated.enabled) == ("two", False)
        client.keystone_delete_user(v3.KeystoneDeleteUserRequest(user_id=made.id))
        gone = v3.KeystoneShowUserRequest(user_id=made.id)
        assert refused(lambda: client.keystone_show_user(gone)) == (404, "IAM.0004")

    def test_the_clouds_own_form(self, client: Client, domain_id: str) -> None:
        option = v3.CreateUserOption(
            name=unique("sdk"),
            domain_id=domain_id,
            password=PASSWORD,
            email="a@example.com",
            areacode="0086",
            phone="123456",
            access_mode="programmatic",
            pwd_status=False,
            description="d",
        )
        body = v3.CreateUserRequestBody(user=option)
        made = client.create_user(v3.CreateUserRequest(body=body)).user
        assert (made.email, made.areacode, made.phone) == ("a@example.com", "0086", "123456")
        assert (made.access_mode, made.is_domain_owner, made.pwd_status) == ("programmatic", False, True)
        change = v3.UpdateUserOption(email="b@example.com", description="e", access_mode="console")
        updated = client.update_user(
            v3.UpdateUserRequest(user_id=made.id, body=v3.UpdateUserRequestBody(user=change))
        ).user
        assert (updated.email, updated.description, updated.access_mode) == ("b@example.com", "e", "console")
        info = v3.UpdateUserInformationOption(email="c@example.com", mobile="0049-170")
        client.update_user_information(
            v3.UpdateUserInformationRequest(
                user_id=made.id, body=v3.UpdateUserInformationRequestBody(user=info)
            )
        )
        shown = client.show_user(v3.ShowUserRequest(user_id=made.id)).user
        assert (shown.email, shown.areacode, shown.phone) == ("c@example.com", "0049", "170")
        assert shown.create_time
        again = v3.CreateUserRequest(body=body)
        assert refused(lambda: client.create_user(again)) == (409, "IAM.0005")

    def test_password(self, client: Client, server: Server, iam: Iam, clerk: Login) -> None:
        mine = client_of(server, clerk.ak, clerk.sk, clerk.domain_id)

        def change(password: str, original: str) -> None:
            option = v3.KeystoneUpdatePasswordOption(password=password, original_password=original)
            body = v3.KeystoneUpdateUserPasswordRequestBody(user=option)
            mine.keystone_update_user_password(
                v3.KeystoneUpdateUserPasswordRequest(user_id=clerk.user_id, body=body)
            )

        before = "correct horse, battery"
        assert refused(lambda: change("New-horse-8", "wrong")) == (401, "APIGW.0301")
        change("New-horse-8", before)
        change(before, "New-horse-8")


class TestGroups:
    def test_groups_and_members(self, client: Client, iam: Iam, domain_id: str) -> None:
        name = unique("sdk")
        option = v3.KeystoneCreateGroupOption(name=name, description="d", domain_id=domain_id)
        body = v3.KeystoneCreateGroupRequestBody(group=option)
        group = client.keystone_create_group(v3.KeystoneCreateGroupRequest(body=body)).group
        assert (group.name, group.description, group.domain_id) == (name, "d", domain_id)
        assert group.create_time
        assert (
            refused(lambda: client.keystone_create_group(v3.KeystoneCreateGroupRequest(body=body)))[0] == 409
        )
        found = client.keystone_list_groups(v3.KeystoneListGroupsRequest(name=name))
        assert [one.id for one in found.groups] == [group.id]
        change = v3.KeystoneUpdateGroupOption(description="e")
        client.keystone_update_group(
            v3.KeystoneUpdateGroupRequest(
                group_id=group.id, body=v3.KeystoneUpdateGroupRequestBody(group=change)
            )
        )
        shown = client.keystone_show_group(v3.KeystoneShowGroupRequest(group_id=group.id)).group
        assert (shown.name, shown.description) == (name, "e")
        user = iam.user()
        member = {"group_id": group.id, "user_id": user["id"]}
        check = v3.KeystoneCheckUserInGroupRequest(**member)
        assert refused_status(lambda: client.keystone_check_user_in_group(check)) == 404
        client.keystone_add_user_to_group(v3.KeystoneAddUserToGroupRequest(**member))
        client.keystone_check_user_in_group(check)
        users = client.keystone_list_users_for_group_by_admin(
            v3.KeystoneListUsersForGroupByAdminRequest(group_id=group.id)
        )
        assert [one.id for one in users.users] == [user["id"]]
        groups = client.keystone_list_groups_for_user(v3.KeystoneListGroupsForUserRequest(user_id=user["id"]))
        assert [one.id for one in groups.groups] == [group.id]
        client.keystone_remove_user_from_group(v3.KeystoneRemoveUserFromGroupRequest(**member))
        assert refused_status(lambda: client.keystone_check_user_in_group(check)) == 404
        client.keystone_delete_group(v3.KeystoneDeleteGroupRequest(group_id=group.id))


def refused_status(call: Callable[[], object]) -> int:
    """For HEAD, whose refusals have no body to read a code from."""
    with pytest.raises(ClientRequestException) as caught:
        call()
    status: int = caught.value.status_code
    return status


class TestProjects:
    def test_projects(self, client: Client, domain_id: str, clerk: Login) -> None:
        name = unique("sdk")
        option = v3.KeystoneCreateProjectOption(name=name, parent_id=domain_id, description="d")
        body = v3.KeystoneCreateProjectRequestBody(project=option)
        made = client.keystone_create_project(v3.KeystoneCreateProjectRequest(body=body)).project
        assert (made.name, made.enabled, made.is_domain) == (name, True, False)
        found = client.keystone_list_projects(v3.KeystoneListProjectsRequest(name=name)).projects
        assert [project.id for project in found] == [made.id]
        paged = client.keystone_list_projects(v3.KeystoneListProjectsRequest(page=1, per_page=1)).projects
        assert len(paged) == 1
        change = v3.KeystoneUpdateProjectOption(description="e")
        client.keystone_update_project(
            v3.KeystoneUpdateProjectRequest(
                project_id=made.id, body=v3.KeystoneUpdateProjectRequestBody(project=change)
            )
        )
        shown = client.keystone_show_project(v3.KeystoneShowProjectRequest(project_id=made.id)).project
        assert shown.description == "e"
        mine = client.keystone_list_projects_for_user(
            v3.KeystoneListProjectsForUserRequest(user_id=clerk.user_id)
        )
        assert made.id in [project.id for project in mine.projects]
        for status in ("suspended", "normal"):
            client.update_project_status(
                v3.UpdateProjectStatusRequest(
                    project_id=made.id,
                    body=v3.UpdateProjectStatusRequestBody(project=v3.UpdateProjectOption(status=status)),
                )
            )
            details = client.show_project_details_and_status(
                v3.ShowProjectDetailsAndStatusRequest(project_id=made.id)
            )
            assert details.project.status == status


class TestPolicies:
    def test_custom_policies(self, client: Client, domain_id: str) -> None:
        name = unique("sdk")

        def role(*actions: str) -> Any:
            statement = v3.ServiceStatement(
                effect="Allow",
                action=list(actions),
                resource=["dis:*:*:*:*"],
                condition={"StringLike": {"g:UserName": ["*"]}},
            )
            policy = v3.ServicePolicy(version="1.1", statement=[statement])
            return v3.ServicePolicyRoleOption(
                display_name=name, type="XA", description="d", description_cn="说明", policy=policy
            )

        body = v3.CreateCloudServiceCustomPolicyRequestBody(role=role("dis:streams:get"))
        made = client.create_cloud_service_custom_policy(
            v3.CreateCloudServiceCustomPolicyRequest(body=body)
        ).role
        assert (made.display_name, made.type, made.description_cn) == (name, "XA", "说明")
        assert made.policy.statement[0].action == ["dis:streams:get"]
        assert made.domain_id == domain_id
        listed = client.list_custom_policies(v3.ListCustomPoliciesRequest())
        assert made.id in [one.id for one in listed.roles]
        assert listed.total_number >= 1
        change = v3.UpdateCloudServiceCustomPolicyRequestBody(role=role("dis:streams:list", "dis:apps:*"))
        updated = client.update_cloud_service_custom_policy(
            v3.UpdateCloudServiceCustomPolicyRequest(role_id=made.id, body=change)
        ).role
        assert updated.policy.statement[0].action == ["dis:streams:list", "dis:apps:*"]
        shown = client.show_custom_policy(v3.ShowCustomPolicyRequest(role_id=made.id)).role
        assert (shown.references, shown.policy.version) == (0, "1.1")
        client.delete_custom_policy(v3.DeleteCustomPolicyRequest(role_id=made.id))
        gone = v3.ShowCustomPolicyRequest(role_id=made.id)
        assert refused(lambda: client.show_custom_policy(gone)) == (404, "IAM.0004")

    def test_policies_about_agencies(self, client: Client) -> None:
        statement = v3.AgencyPolicyStatement(
            effect="Allow",
            action=["iam:agencies:assume"],
            resource=v3.AgencyPolicyResource(uri=["/iam/agencies/0123456789abcdef"]),
        )
        policy = v3.AgencyPolicy(version="1.1", statement=[statement])
        option = v3.AgencyPolicyRoleOption(
            display_name=unique("sdk"), type="AX", description="d", policy=policy
        )
        body = v3.CreateAgencyCustomPolicyRequestBody(role=option)
        made = client.create_agency_custom_policy(v3.CreateAgencyCustomPolicyRequest(body=body)).role
        assert made.policy.statement[0].resource.uri == ["/iam/agencies/0123456789abcdef"]
        change = v3.UpdateAgencyCustomPolicyRequestBody(role=option)
        client.update_agency_custom_policy(v3.UpdateAgencyCustomPolicyRequest(role_id=made.id, body=change))

    def test_system_defined_policies(self, client: Client) -> None:
        listed = client.keystone_list_permissions(v3.KeystoneListPermissionsRequest(catalog="DIS"))
        names = {role.display_name: role for role in listed.roles}
        assert {"DIS User", "DIS ReadOnlyAccess", "DIS CommonOperations", "DIS FullAccess"} <= set(names)
        assert listed.total_number == len(listed.roles)
        full = names["DIS FullAccess"]
        shown = client.keystone_show_permission(v3.KeystoneShowPermissionRequest(role_id=full.id)).role
        assert shown.policy.statement[0].action == ["dis:*:*"]
        found = client.keystone_list_permissions(
            v3.KeystoneListPermissionsRequest(
                permission_type="policy", display_name="DIS ", page=1, per_page=2
            )
        )
        assert len(found.roles) == 2


class TestGrants:
    def test_in_a_project(self, client: Client, iam: Iam, server: Server) -> None:
        where = {"project_id": server.project_id, "group_id": iam.group()}
        grant = where | {"role_id": iam.system("DIS User")}
        check = v3.KeystoneCheckProjectPermissionForGroupRequest(**grant)
        assert refused_status(lambda: client.keystone_check_project_permission_for_group(check)) == 404
        client.keystone_associate_group_with_project_permission(
            v3.KeystoneAssociateGroupWithProjectPermissionRequest(**grant)
        )
        client.keystone_check_project_permission_for_group(check)
        listed = client.keystone_list_project_permissions_for_group(
            v3.KeystoneListProjectPermissionsForGroupRequest(**where)
        )
        assert [role.display_name for role in listed.roles] == ["DIS User"]
        client.keystone_remove_project_permission_from_group(
            v3.KeystoneRemoveProjectPermissionFromGroupRequest(**grant)
        )
        assert refused_status(lambda: client.keystone_check_project_permission_for_group(check)) == 404

    def test_in_the_account(self, client: Client, iam: Iam, domain_id: str) -> None:
        where = {"domain_id": domain_id, "group_id": iam.group()}
        grant = where | {"role_id": iam.system("Security Administrator")}
        client.keystone_associate_group_with_domain_permission(
            v3.KeystoneAssociateGroupWithDomainPermissionRequest(**grant)
        )
        client.keystone_check_domain_permission_for_group(
            v3.KeystoneCheckDomainPermissionForGroupRequest(**grant)
        )
        listed = client.keystone_list_domain_permissions_for_group(
            v3.KeystoneListDomainPermissionsForGroupRequest(**where)
        )
        assert [role.name for role in listed.roles] == ["secu_admin"]
        client.keystone_remove_domain_permission_from_group(
            v3.KeystoneRemoveDomainPermissionFromGroupRequest(**grant)
        )

    def test_in_all_projects(self, client: Client, iam: Iam, domain_id: str) -> None:
        where = {"domain_id": domain_id, "group_id": iam.group()}
        grant = where | {"role_id": iam.system("DIS User")}
        client.update_domain_group_inherit_role(v3.UpdateDomainGroupInheritRoleRequest(**grant))
        client.keystone_checkrole_for_group(v3.KeystoneCheckroleForGroupRequest(**grant))
        listed = client.keystone_list_all_project_permissions_for_group(
            v3.KeystoneListAllProjectPermissionsForGroupRequest(**where)
        )
        assert [role.display_name for role in listed.roles] == ["DIS User"]
        found = client.show_domain_role_assignments(
            v3.ShowDomainRoleAssignmentsRequest(
                domain_id=domain_id, subject_group_id=where["group_id"], is_inherited=True
            )
        )
        (one,) = found.role_assignments
        assert (one.group.id, one.scope.domain.id, one.is_inherited) == (where["group_id"], domain_id, True)
        assert found.total_num == 1
        client.delete_domain_group_inherited_role(v3.DeleteDomainGroupInheritedRoleRequest(**grant))

    def test_in_enterprise_projects(self, client: Client, iam: Iam) -> None:
        user, group_id, role_id = iam.user(), iam.group(), iam.system("DIS User")
        where = {"enterprise_project_id": "5e0bf1b2-1b5a-4ac7-8a4e-3b0c5a5c3c11"}
        to_group = where | {"group_id": group_id}
        client.associate_role_to_group_on_enterprise_project(
            v3.AssociateRoleToGroupOnEnterpriseProjectRequest(**to_group, role_id=role_id)
        )
        listed = client.list_roles_for_group_on_enterprise_project(
            v3.ListRolesForGroupOnEnterpriseProjectRequest(**to_group)
        )
        assert [role.id for role in listed.roles] == [role_id]
        groups = client.list_groups_for_enterprise_project(v3.ListGroupsForEnterpriseProjectRequest(**where))
        assert group_id in [group.id for group in groups.groups]
        projects = client.list_enterprise_projects_for_group(
            v3.ListEnterpriseProjectsForGroupRequest(group_id=group_id)
        )
        assert [one.project_id for one in projects.enterprise_projects] == [where["enterprise_project_id"]]
        client.revoke_role_from_group_on_enterprise_project(
            v3.RevokeRoleFromGroupOnEnterpriseProjectRequest(**to_group, role_id=role_id)
        )
        to_user = where | {"user_id": user["id"]}
        client.associate_role_to_user_on_enterprise_project(
            v3.AssociateRoleToUserOnEnterpriseProjectRequest(**to_user, role_id=role_id)
        )
        roles = client.list_roles_for_user_on_enterprise_project(
            v3.ListRolesForUserOnEnterpriseProjectRequest(**to_user)
        )
        assert [role.id for role in roles.roles] == [role_id]
        users = client.list_users_for_enterprise_project(v3.ListUsersForEnterpriseProjectRequest(**where))
        assert [(one.id, one.policy_num) for one in users.users] == [(user["id"], 1)]
        projects = client.list_enterprise_projects_for_user(
            v3.ListEnterpriseProjectsForUserRequest(user_id=user["id"])
        )
        assert [one.project_id for one in projects.enterprise_projects] == [where["enterprise_project_id"]]
        client.revoke_role_from_user_on_enterprise_project(
            v3.RevokeRoleFromUserOnEnterpriseProjectRequest(**to_user, role_id=role_id)
        )


class TestTokens:
    def ask(self, client: Client, server: Server, user: dict[str, Any], scope: Any) -> Any:
        who = v3.PwdPasswordUser(
            name=user["name"], password=PASSWORD, domain=v3.PwdPasswordUserDomain(name=server.account)
        )
        identity = v3.PwdIdentity(methods=["password"], password=v3.PwdPassword(user=who))
        body = v3.KeystoneCreateUserTokenByPasswordRequestBody(
            auth=v3.PwdAuth(identity=identity, scope=scope)
        )
        return client.keystone_create_user_token_by_password(
            v3.KeystoneCreateUserTokenByPasswordRequest(body=body)
        )

    def test_scopes_and_validation(self, client: Client, server: Server, iam: Iam, domain_id: str) -> None:
        user = iam.user()
        project = v3.AuthScope(project=v3.AuthScopeProject(id=server.project_id))
        reply = self.ask(client, server, user, project)
        assert reply.x_subject_token
        assert (reply.token.project.id, reply.token.user.id) == (server.project_id, user["id"])
        assert {one.type for one in reply.token.catalog} >= {"dis", "disv2", "iam"}
        whole = self.ask(client, server, user, v3.AuthScope(domain=v3.AuthScopeDomain(id=domain_id)))
        assert whole.token.domain.id == domain_id
        shown = client.keystone_validate_token(
            v3.KeystoneValidateTokenRequest(x_subject_token=reply.x_subject_token)
        )
        assert (shown.token.user.name, shown.token.project.name) == (user["name"], server.project)
        wrong = v3.KeystoneValidateTokenRequest(x_subject_token="none")
        assert refused(lambda: client.keystone_validate_token(wrong)) == (404, "IAM.0004")

    def test_what_there_is(self, client: Client, server: Server, domain_id: str) -> None:
        (domain,) = client.keystone_list_auth_domains(v3.KeystoneListAuthDomainsRequest()).domains
        assert (domain.id, domain.name, domain.enabled) == (domain_id, server.account, True)
        projects = client.keystone_list_auth_projects(v3.KeystoneListAuthProjectsRequest()).projects
        assert server.project_id in [project.id for project in projects]
        services = client.keystone_show_catalog(v3.KeystoneShowCatalogRequest()).catalog
        assert {one.type for one in services} >= {"dis", "iam"}
        assert client.keystone_show_version(v3.KeystoneShowVersionRequest()).version.id.startswith("v3")
        versions = client.keystone_list_versions(v3.KeystoneListVersionsRequest()).versions
        assert versions.values[0].status == "stable"
        regions = client.keystone_list_regions(v3.KeystoneListRegionsRequest()).regions
        shown = client.keystone_show_region(v3.KeystoneShowRegionRequest(region_id=regions[0].id)).region
        assert shown.id == regions[0].id
        services = client.keystone_list_services(v3.KeystoneListServicesRequest(type="dis")).services
        assert [one.name for one in services] == ["dis"]
        one = client.keystone_show_service(v3.KeystoneShowServiceRequest(service_id=services[0].id)).service
        assert one.enabled is True
        endpoints = client.keystone_list_endpoints(
            v3.KeystoneListEndpointsRequest(service_id=one.id, interface="public")
        ).endpoints
        assert [point.url for point in endpoints] == [f"{server.endpoint}/"]
        point = client.keystone_show_endpoint(v3.KeystoneShowEndpointRequest(endpoint_id=endpoints[0].id))
        assert point.endpoint.service_id == one.id

    def test_quotas(self, client: Client, server: Server, domain_id: str) -> None:
        quotas = client.show_domain_quota(v3.ShowDomainQuotaRequest(domain_id=domain_id)).quotas
        by_type = {one.type: one for one in quotas.resources}
        assert by_type["user"].used >= 1
        assert by_type["user"].quota == 1000
        only = client.show_domain_quota(v3.ShowDomainQuotaRequest(domain_id=domain_id, type="group")).quotas
        assert [one.type for one in only.resources] == ["group"]
        projects = client.show_project_quota(v3.ShowProjectQuotaRequest(project_id=server.project_id)).quotas
        assert [one.type for one in projects.resources] == ["project"]


def test_an_iam_user_from_nothing_to_streams(client: Client, server: Server, iam: Iam, clerk: Login) -> None:
    """Chapter 6, as its first page tells it: a new user may nothing; in a group with a policy, what the policy says."""
    keys = BasicCredentials(clerk.ak, clerk.sk, server.project_id)
    streams = DisClient.new_builder().with_credentials(keys).with_endpoint(server.endpoint).build()
    listing = ListStreamsRequest()
    assert refused(lambda: streams.list_streams(listing)) == (403, "DIS.4116")
    group_id = iam.group()
    client.keystone_add_user_to_group(
        v3.KeystoneAddUserToGroupRequest(group_id=group_id, user_id=clerk.user_id)
    )
    client.keystone_associate_group_with_project_permission(
        v3.KeystoneAssociateGroupWithProjectPermissionRequest(
            project_id=server.project_id, group_id=group_id, role_id=iam.system("DIS ReadOnlyAccess")
        )
    )
    assert streams.list_streams(listing).total_number == 0
    client.keystone_delete_group(v3.KeystoneDeleteGroupRequest(group_id=group_id))
    assert refused(lambda: streams.list_streams(listing)) == (403, "DIS.4116")
    mine = client_of(server, clerk.ak, clerk.sk, clerk.domain_id)
    users = v3.KeystoneListUsersRequest()
    assert refused(lambda: mine.keystone_list_users(users)) == (403, "DIS.4116")
