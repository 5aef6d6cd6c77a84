"""The public client of the IAM API, `huaweicloudsdkiam`, unmodified, over TCP: access keys, temporary keys and agencies; and the DIS
client `huaweicloudsdkdis` with the temporary keys it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import huaweicloudsdkiam.v3 as v3
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdis.v2 import DisClient, ListStreamsRequest
from huaweicloudsdkiam.v3 import IamClient
from tests.support.iam import Iam, unique
from tests.support.iam_keys import Account, make_account
from tests.support.server import Server

Client = Any


def iam_client(server: Server, ak: str, sk: str, domain_id: str) -> Client:
    keys = GlobalCredentials(ak, sk, domain_id)
    return IamClient.new_builder().with_credentials(keys).with_endpoint(server.endpoint).build()


def dis_client(server: Server, credential: Any, project_id: str) -> Client:
    keys = BasicCredentials(credential.access, credential.secret, project_id)
    if getattr(credential, "securitytoken", None):
        keys = keys.with_security_token(credential.securitytoken)
    return DisClient.new_builder().with_credentials(keys).with_endpoint(server.endpoint).build()


@pytest.fixture(scope="module")
def client(server: Server, domain_id: str) -> Client:
    return iam_client(server, server.ak, server.sk, domain_id)


@pytest.fixture(scope="module")
def other(iam: Iam) -> Account:
    return make_account(iam, unique("sdk-partner"))


def refused(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ClientRequestException) as caught:
        call()
    return caught.value.status_code, caught.value.error_code


def test_access_keys(client: Client, iam: Iam) -> None:
    user_id = iam.user()["id"]
    option = v3.CreateCredentialOption(user_id=user_id, description="d")
    request = v3.CreatePermanentAccessKeyRequest(
        body=v3.CreatePermanentAccessKeyRequestBody(credential=option)
    )
    made = client.create_permanent_access_key(request).credential
    assert (made.user_id, made.status, made.description) == (user_id, "active", "d")
    assert made.secret and made.create_time
    client.create_permanent_access_key(request)
    assert refused(lambda: client.create_permanent_access_key(request)) == (400, "DIS.4308")
    listed = client.list_permanent_access_keys(v3.ListPermanentAccessKeysRequest(user_id=user_id))
    assert made.access in [key.access for key in listed.credentials]
    shown = client.show_permanent_access_key(v3.ShowPermanentAccessKeyRequest(access_key=made.access))
    assert shown.credential.status == "active"
    change = v3.UpdateCredentialOption(status="inactive")
    updated = client.update_permanent_access_key(
        v3.UpdatePermanentAccessKeyRequest(
            access_key=made.access, body=v3.UpdatePermanentAccessKeyRequestBody(credential=change)
        )
    )
    assert (updated.credential.status, updated.credential.description) == ("inactive", "d")
    gone = v3.DeletePermanentAccessKeyRequest(access_key=made.access)
    client.delete_permanent_access_key(gone)
    assert refused(lambda: client.delete_permanent_access_key(gone)) == (404, "IAM.0004")


def test_temporary_key_by_token(client: Client, server: Server, iam: Iam) -> None:
    policy = v3.ServicePolicy(
        version="1.1", statement=[v3.ServiceStatement(action=["dis:streams:list"], effect="Allow")]
    )
    for narrowing in (None, policy):
        identity = v3.TokenAuthIdentity(
            methods=["token"],
            token=v3.IdentityToken(id=iam.token, duration_seconds=900),
            policy=narrowing,
        )
        body = v3.CreateTemporaryAccessKeyByTokenRequestBody(auth=v3.TokenAuth(identity=identity))
        made = client.create_temporary_access_key_by_token(
            v3.CreateTemporaryAccessKeyByTokenRequest(body=body)
        ).credential
        assert made.expires_at.endswith("Z")
        dis = dis_client(server, made, server.project_id)
        assert dis.list_streams(ListStreamsRequest()).total_number is not None
        made.securitytoken = ""
        bare = dis_client(server, made, server.project_id)
        assert refused(lambda: bare.list_streams(ListStreamsRequest())) == (401, "APIGW.0301")  # noqa: B023


def test_agencies(client: Client, server: Server, domain_id: str, other: Account) -> None:
    option = v3.CreateAgencyOption(
        name=unique("sdk"),
        domain_id=domain_id,
        trust_domain_name=other.name,
        description="d",
        duration="FOREVER",
    )
    made = client.create_agency(v3.CreateAgencyRequest(body=v3.CreateAgencyRequestBody(agency=option))).agency
    assert (made.trust_domain_id, made.duration, made.expire_time) == (other.domain_id, "FOREVER", None)
    listed = client.list_agencies(v3.ListAgenciesRequest(domain_id=domain_id, name=made.name)).agencies
    assert [(one.id, one.trust_domain_name) for one in listed] == [(made.id, other.name)]
    shown = client.show_agency(v3.ShowAgencyRequest(agency_id=made.id)).agency
    assert (shown.name, shown.description) == (made.name, "d")
    change = v3.UpdateAgencyOption(description="e", duration="ONEDAY")
    updated = client.update_agency(
        v3.UpdateAgencyRequest(agency_id=made.id, body=v3.UpdateAgencyRequestBody(agency=change))
    ).agency
    assert (updated.description, updated.duration) == ("e", "24")

    roles = client.keystone_list_permissions(v3.KeystoneListPermissionsRequest(display_name="DIS FullAccess"))
    role_id = roles.roles[0].id
    at: dict[str, str] = {"agency_id": made.id, "role_id": role_id}
    project, domain = {"project_id": server.project_id}, {"domain_id": domain_id}
    client.associate_agency_with_domain_permission(
        v3.AssociateAgencyWithDomainPermissionRequest(**at, **domain)
    )
    client.check_domain_permission_for_agency(v3.CheckDomainPermissionForAgencyRequest(**at, **domain))
    found = client.list_domain_permissions_for_agency(
        v3.ListDomainPermissionsForAgencyRequest(agency_id=made.id, **domain)
    )
    assert [role.id for role in found.roles] == [role_id]
    client.remove_domain_permission_from_agency(v3.RemoveDomainPermissionFromAgencyRequest(**at, **domain))
    client.associate_agency_with_all_projects_permission(
        v3.AssociateAgencyWithAllProjectsPermissionRequest(**at, **domain)
    )
    client.check_all_projects_permission_for_agency(
        v3.CheckAllProjectsPermissionForAgencyRequest(**at, **domain)
    )
    inherited = client.list_all_projects_permissions_for_agency(
        v3.ListAllProjectsPermissionsForAgencyRequest(agency_id=made.id, **domain)
    )
    assert [role.id for role in inherited.roles] == [role_id]
    client.remove_all_projects_permission_from_agency(
        v3.RemoveAllProjectsPermissionFromAgencyRequest(**at, **domain)
    )
    client.associate_agency_with_project_permission(
        v3.AssociateAgencyWithProjectPermissionRequest(**at, **project)
    )
    client.check_project_permission_for_agency(v3.CheckProjectPermissionForAgencyRequest(**at, **project))
    granted = client.list_project_permissions_for_agency(
        v3.ListProjectPermissionsForAgencyRequest(agency_id=made.id, **project)
    )
    assert [role.id for role in granted.roles] == [role_id]

    # The owner of the other account takes it over.
    theirs = iam_client(server, other.key.access, other.key.secret, other.domain_id)
    token_identity = v3.AgencyTokenIdentity(
        methods=["assume_role"],
        assume_role=v3.AgencyTokenAssumerole(domain_id=domain_id, agency_name=made.name),
    )
    scope = v3.AgencyTokenScope(project=v3.AgencyTokenScopeProject(id=server.project_id))
    token_body = v3.KeystoneCreateAgencyTokenRequestBody(
        auth=v3.AgencyTokenAuth(identity=token_identity, scope=scope)
    )
    token = theirs.keystone_create_agency_token(v3.KeystoneCreateAgencyTokenRequest(body=token_body))
    assert token.x_subject_token
    assert token.token.assumed_by.user.domain.id == other.domain_id
    assert token.token.user.domain.id == domain_id
    assert token.token.project.id == server.project_id

    identity = v3.AgencyAuthIdentity(
        methods=["assume_role"],
        assume_role=v3.IdentityAssumerole(
            agency_name=made.name, domain_id=domain_id, domain_name=server.account, duration_seconds=3600
        ),
    )
    key = theirs.create_temporary_access_key_by_agency(
        v3.CreateTemporaryAccessKeyByAgencyRequest(
            body=v3.CreateTemporaryAccessKeyByAgencyRequestBody(auth=v3.AgencyAuth(identity=identity))
        )
    ).credential
    dis = dis_client(server, key, server.project_id)
    assert dis.list_streams(ListStreamsRequest()).total_number is not None

    client.remove_project_permission_from_agency(v3.RemoveProjectPermissionFromAgencyRequest(**at, **project))
    assert refused(lambda: dis.list_streams(ListStreamsRequest())) == (403, "DIS.4116")
    client.delete_agency(v3.DeleteAgencyRequest(agency_id=made.id))
    assert refused(lambda: dis.list_streams(ListStreamsRequest())) == (401, "APIGW.0301")
