"""Who a request is from: tokens, signatures, what is refused, and DIS.4309."""

from __future__ import annotations

import msgspec
import pytest
from tests.support import signing
from tests.support.captures import request
from tests.support.identity import PASSWORD, MemoryCatalog, as_catalog, make_identity
from tests.support.signing import VARIANTS, Variant

from penstock.clock import SteppedClock
from penstock.errors import ApiError
from penstock.iam.authenticator import RequestAuthenticator, TrustingAuthenticator, make_authenticator
from penstock.iam.base import Principal, SentRequest
from penstock.iam.identity import Identity
from penstock.iam.sealing import Sealer, SealingError
from penstock.limits import PROFILES

TARGET = "/v2/pid/streams?limit=10"


class Server:
    """An identity, its authenticator and their clock."""

    def __init__(self, identity: Identity, clock: SteppedClock) -> None:
        self.identity, self.clock = identity, clock
        self.authenticator = RequestAuthenticator(identity)

    def token(self, project: str | None = "region1", user: str = "user1", account: str = "account1") -> str:
        found = self.identity.user(name=user, domain_name=account)
        assert found
        named = self.identity.project(found.domain_id, name=project) if project else None
        return self.identity.issue(found, ("password",), project=named).text

    def ask(self, headers: list[tuple[str, str]], peer: str = "10.0.0.1") -> Principal:
        return self.authenticator.authenticate(request("GET", TARGET, headers, peer=peer))

    def refusal(self, headers: list[tuple[str, str]], peer: str = "10.0.0.1") -> ApiError:
        with pytest.raises(ApiError) as error:
            self.ask(headers, peer)
        return error.value

    def sign(
        self,
        headers: dict[str, str] | None = None,
        variant: Variant = "A",
        access_key: str = "AKEXAMPLE",
        secret_key: str = "SKEXAMPLE",
    ) -> list[tuple[str, str]]:
        return signing.sign(
            variant,
            "GET",
            TARGET,
            headers or {"Host": "h"},
            access_key=access_key,
            secret_key=secret_key,
            now_ms=self.clock.now_ms(),
            signed=["host"],
        )


@pytest.fixture
async def server() -> Server:
    clock = SteppedClock()
    return Server(await make_identity(clock=clock), clock)


# Tokens


async def test_a_token_acts_in_its_project_only(server: Server) -> None:
    principal = server.ask([("X-Auth-Token", server.token())])
    assert (principal.user_name, principal.domain_name) == ("user1", "account1")
    assert (principal.project_id, principal.project_name, principal.signed) == ("pid", "region1", False)
    allowed = {
        project
        for project in ("pid", "pid-from-iam", "pid2", "", "x")
        if server.authenticator.allows_project(principal, project)
    }
    assert allowed == {"pid"}


async def test_an_unscoped_token_acts_in_no_project(server: Server) -> None:
    principal = server.ask([("X-Auth-Token", server.token(None))])
    assert not any(
        server.authenticator.allows_project(principal, project) for project in ("pid", "pid2", "", "None")
    )


async def test_a_token_holds_24_hours_also_once_believed(server: Server) -> None:
    headers = [("X-Auth-Token", server.token())]
    server.ask(headers)
    server.clock.advance(24 * 3600 - 0.001)
    server.ask(headers)
    server.clock.advance(0.001)
    error = server.refusal(headers)
    assert (error.code, error.status) == ("APIGW.0301", 401)
    assert "expired" in error.message
    server.clock.set_wall(0)
    assert "future" in server.refusal(headers).message


async def test_expired_tokens_are_told_so_however_often(server: Server) -> None:
    headers = [("X-Auth-Token", server.token())]
    server.clock.advance(25 * 3600)
    assert {server.refusal(headers).code for _ in range(100)} == {"APIGW.0301"}


async def test_tokens_survive_a_restart_and_hold_on_every_node() -> None:
    catalog = MemoryCatalog()
    one = Server(await make_identity(catalog=catalog), SteppedClock())
    two = Server(await make_identity(catalog=catalog), SteppedClock())
    assert two.ask([("X-Auth-Token", one.token())]).project_id == "pid"
    stranger = Server(await make_identity(), SteppedClock())
    assert "not a token of this server" in stranger.refusal([("X-Auth-Token", one.token())]).message


async def test_a_disabled_user_has_no_token_and_no_key() -> None:
    catalog = MemoryCatalog()
    server = Server(await make_identity(catalog=catalog), SteppedClock())
    token, signed = [("X-Auth-Token", server.token())], server.sign()
    server.ask(token)
    server.ask(signed)
    user = server.identity.user(name="user1", domain_name="account1")
    assert user
    catalog.replace_user(msgspec.structs.replace(user, enabled=False))
    await server.identity.refresh()
    assert "gone or disabled" in server.refusal(token).message
    assert "wrong" in server.refusal(signed).message
    with pytest.raises(ApiError, match="password is wrong"):
        await server.identity.login("p", server.identity.user(user_id=user.user_id), "user1", PASSWORD)


async def test_believed_tokens_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.iam.identity._TOKEN_CACHE", 5)
    tokens = [server.token() for _ in range(20)]
    for token in tokens + tokens:
        server.ask([("X-Auth-Token", token)])
    assert len(server.identity._believed) == 5


async def test_tokens_that_are_none_take_no_memory(server: Server) -> None:
    for number in range(50):
        server.refusal([("X-Auth-Token", f"pst1.{number}.x")], peer=str(number))
    assert not server.identity._believed


# Signatures


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_signature_acts_in_any_project_of_its_account(server: Server, variant: Variant) -> None:
    principal = server.ask(server.sign(variant=variant))
    assert (principal.user_name, principal.project_id, principal.signed) == ("user1", None, True)
    allowed = [
        project
        for project in ("pid", "pid-from-iam", "pid2", "")
        if server.authenticator.allows_project(principal, project)
    ]
    assert allowed == ["pid", "pid-from-iam"]


async def test_x_project_id_is_one_of_the_account(server: Server) -> None:
    for project in ("pid", "pid-from-iam", ""):
        server.ask(server.sign({"Host": "h", "X-Project-Id": project}))
    for project in ("pid2", "nope", "é"):
        error = server.refusal(server.sign({"Host": "h", "X-Project-Id": project}))
        assert (error.code, error.status) == ("DIS.4117", 400)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_unknown_key_and_wrong_secret_are_told_the_same(server: Server, variant: Variant) -> None:
    errors = [
        server.refusal(server.sign(variant=variant, access_key=key, secret_key=secret))
        for key, secret in (("AKEXAMPLE", "SKOTHER"), ("AKNOBODY", "SKEXAMPLE"))
    ]
    assert [error.code for error in errors] == ["APIGW.0301"] * 2
    assert errors[0].message == errors[1].message
    assert "SKEXAMPLE" not in errors[0].message


async def test_a_security_token_goes_with_temporary_keys_only(server: Server) -> None:
    error = server.refusal(server.sign({"Host": "h", "X-Security-Token": "from elsewhere"}))
    assert error.code == "APIGW.0301"
    assert "X-Security-Token" in error.message
    server.ask(server.sign({"Host": "h", "X-Security-Token": ""}))


async def test_without_credentials(server: Server) -> None:
    for headers in ([], [("X-Auth-Token", "")], [("Authorization", "")]):
        error = server.refusal(headers)
        assert (error.code, error.status) == ("APIGW.0301", 401)
        assert "neither" in error.message
    assert {server.refusal([]).code for _ in range(100)} == {"APIGW.0301"}


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Sdk-Date", "X-Project-Id", "X-Security-Token", "X-Auth-Token"]
)
async def test_security_headers_sent_twice(server: Server, name: str) -> None:
    headers = (
        server.sign({"Host": "h", "X-Project-Id": "pid"})
        if name != "X-Auth-Token"
        else [(name, server.token())]
    )
    server.ask(headers)
    value = dict(headers).get(name, "x")
    extra = [(name, value)] if name in dict(headers) else [(name, value)] * 2
    assert f"{name.lower()} was sent twice" in server.refusal(headers + extra).message
    assert "twice" in server.refusal(headers + [(name, "other")] * 2).message


async def test_a_token_decides_alone(server: Server) -> None:
    token = ("X-Auth-Token", server.token())
    assert server.ask([token, ("Authorization", "Basic cHJveHk6eA==")]).project_id == "pid"
    assert server.refusal([("X-Auth-Token", "bad"), *server.sign()]).code == "APIGW.0301"


# Too many failures


async def test_after_twenty_failures_failing_requests_answer_4309(server: Server) -> None:
    wrong, right = server.sign(secret_key="no"), server.sign()
    assert [server.refusal(wrong).code for _ in range(20)] == ["APIGW.0301"] * 20
    error = server.refusal(wrong)
    assert (error.code, error.status) == ("DIS.4309", 400)
    assert server.ask(right).user_name == "user1"
    # Another address, another key, a token: not their failures.
    assert server.refusal(wrong, peer="10.0.0.2").code == "APIGW.0301"
    assert server.refusal(server.sign(access_key="AKOTHER", secret_key="no")).code == "APIGW.0301"
    assert server.refusal([("X-Auth-Token", "bad")]).code == "APIGW.0301"
    server.clock.advance(59)
    assert server.refusal(server.sign(secret_key="no")).code == "DIS.4309"
    server.clock.advance(1)
    assert server.refusal(server.sign(secret_key="no")).code == "APIGW.0301"


async def test_the_number_is_a_limit() -> None:
    limits = msgspec.structs.replace(PROFILES["documented"], failures_per_minute=2)
    server = Server(await make_identity(limits=limits), SteppedClock())
    assert [server.refusal([("X-Auth-Token", "bad")]).code for _ in range(3)][-2:] == [
        "APIGW.0301",
        "DIS.4309",
    ]


async def test_guesses_of_tokens_count_by_their_prefix(server: Server) -> None:
    token = server.token()
    codes = [server.refusal([("X-Auth-Token", token[:-3] + f"{number:03}")]).code for number in range(21)]
    assert codes == ["APIGW.0301"] * 20 + ["DIS.4309"]
    server.ask([("X-Auth-Token", token)])


async def test_malformed_authorizations_count_together(server: Server) -> None:
    codes = [server.refusal([("Authorization", f"Basic {number}")]).code for number in range(21)]
    assert codes == ["APIGW.0301"] * 20 + ["DIS.4309"]


async def test_failed_logins_count(server: Server) -> None:
    user = server.identity.user(name="user1", domain_name="account1")

    async def code(password: str, peer: str = "p") -> str:
        try:
            return (await server.identity.login(peer, user, "account1/user1", password)).name
        except ApiError as error:
            return error.code

    assert [await code("wrong") for _ in range(21)] == ["APIGW.0301"] * 20 + ["DIS.4309"]
    assert await code(PASSWORD) == "user1"
    assert await code("wrong", "q") == "APIGW.0301"


# Secrets, accounts, --auth off


async def test_another_master_key_is_said_at_start() -> None:
    catalog = MemoryCatalog()
    await make_identity(catalog=catalog)
    with pytest.raises(SealingError, match="put that one back"):
        await Identity.open(
            as_catalog(catalog), Sealer({1: b"x" * 32}), SteppedClock(), PROFILES["documented"]
        )


async def test_secrets_are_sealed_in_the_catalog() -> None:
    catalog = MemoryCatalog()
    await make_identity(catalog=catalog)
    assert all(b"SKEXAMPLE" not in row.sealed_secret for row in await catalog.access_keys())
    assert all(PASSWORD not in row.password_hash for row in await catalog.users())


async def test_keys_survive_a_restart() -> None:
    catalog = MemoryCatalog()
    await make_identity(catalog=catalog)
    server = Server(await make_identity(catalog=catalog), SteppedClock())
    assert server.ask(server.sign()).user_name == "user1"


async def test_names_ids_and_keys_have_a_form(server: Server) -> None:
    domain = server.identity.domain(name="account1")
    user = server.identity.user(name="user1", domain_name="account1")
    assert domain and user
    for name in ("", " a", "a\n", "x" * 65):
        with pytest.raises(ApiError, match="name"):
            await server.identity.add_project(domain.domain_id, name)
    for project_id in ("a/b", "a b", "é", "x" * 65):
        with pytest.raises(ApiError, match="id"):
            await server.identity.add_project(domain.domain_id, "new", project_id)
    with pytest.raises(ApiError, match="access_key"):
        await server.identity.add_access_key(user.user_id, "a,b", "s")
    made = await server.identity.add_user(domain.domain_id, "new", "")
    for password in ("", "x"):
        with pytest.raises(ApiError, match="password is wrong"):
            await server.identity.login("10.0.0.1", made, "new", password)


async def test_auth_off(server: Server) -> None:
    identity = await make_identity(auth=False)
    trusting = make_authenticator(identity)
    assert isinstance(trusting, TrustingAuthenticator)
    for headers in ([], [("X-Auth-Token", "x")], [("Authorization", "junk"), ("Authorization", "junk")]):
        sent: SentRequest = request("GET", TARGET, headers)
        principal = trusting.authenticate(sent)
        assert principal.user_name == "user1"
        assert trusting.allows_project(principal, "anything")
    assert isinstance(make_authenticator(server.identity), RequestAuthenticator)
