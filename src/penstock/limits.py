"""Every limit: one table, two profiles. Owns the numbers; knows nothing of who enforces them.

Sizes are bytes (1 MB is 2^20), durations seconds unless the name says otherwise. Sources: the API reference by
section, and docs/limits.md for numbers the reference leaves out. Profile `documented` enforces what the service
documents; `relaxed` lifts rates, quotas and frequencies, never what protects memory. Any single limit can be set
in `[limits]` of the configuration.
"""

from __future__ import annotations

from typing import Literal

import msgspec

KIB = 1 << 10
MIB = 1 << 20
UNLIMITED = 1 << 62

HASH_MAX = (1 << 63) - 1
"""Largest hash key, and the end of the last partition's range (5.4.1: "0 to long.max")."""
SEQUENCE_MAX = (1 << 63) - 1
"""Largest sequence number a client may name (5.4.3: "0 to 9223372036854775807")."""


class PartitionRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one partition carries in any second."""

    write_bytes: int
    write_records: int
    read_bytes: int

    @property
    def writes_freely(self) -> bool:
        """Whether nothing need be counted on the way in."""
        return self.write_bytes >= UNLIMITED and self.write_records >= UNLIMITED


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value per limit. Fields are grouped by what they protect."""

    # Names and texts (5.1.1 table 5-3, 5.1.1 table 5-5)
    stream_name_length: int = 64
    tag_count: int = 10
    tag_key_length: int = 36
    tag_value_length: int = 43
    data_schema_bytes: int = 64 * KIB
    data_schema_depth: int = 64
    csv_delimiter_length: int = 10

    # Streams (5.1.1; quotas per account)
    retention_hours_min: int = 24
    retention_hours_max: int = 168
    retention_hours_default: int = 24
    partitions_common: int = 50
    partitions_advanced: int = 10
    streams_per_project: int = 1000
    partitions_per_stream: int = 1000

    # Scaling (5.1.5; frequencies of the manual, per stream)
    scale_ups_automatic_per_hour: int = 10
    scale_ups_manual_per_hour: int = 10
    scale_downs_per_hour: int = 1
    scalings_kept: int = 1000
    scalings_shown: int = 100
    list_scalings_max: int = 100
    list_scalings_default: int = 10

    # Pages (5.1.2 table 5-8, 5.1.4 table 5-17)
    list_streams_max: int = 100
    list_streams_default: int = 10
    list_partitions_max: int = 1000
    list_partitions_default: int = 100

    # Policies of streams and filters by tag (5.1.7, 5.7.6 table 5-159)
    policies_per_stream: int = 100
    tag_filter_keys: int = 10
    tag_filter_values: int = 10
    tagged_streams_max: int = 1000
    tagged_streams_default: int = 1000

    # Apps and checkpoints (5.2.1, 5.2.2, 5.2.5, 5.3.1)
    app_name_length: int = 200
    apps_per_project: int = 1000
    list_apps_max: int = 100
    list_apps_default: int = 10
    consuming_partitions_max: int = 1000
    consuming_partitions_default: int = 100
    checkpoint_metadata_length: int = 1000

    # Consumer groups (the numbers are ours; docs/consumer-groups.md)
    client_id_length: int = 200
    group_members_max: int = 200
    group_streams_max: int = 100
    stream_pattern_length: int = 256
    group_session_seconds: float = 45.0
    group_rebalance_seconds: float = 25.0
    group_rebalance_seconds_max: float = 300.0
    group_initial_seconds: float = 1.0

    # Dump tasks (5.5.1 to 5.5.10; texts and OpenTSDB schemas without a documented length have ours)
    tasks_per_stream: int = 5
    list_tasks_max: int = 100
    task_name_length: int = 64
    agency_name_length: int = 64
    file_prefix_length: int = 50
    task_text_length: int = 1024
    task_objects: int = 20_000
    deliver_seconds_min: int = 30
    deliver_seconds_max: int = 900
    deliver_seconds_default: int = 300
    deliver_megabytes_max: int = 300
    retry_seconds_max: int = 7200
    retry_seconds_default: int = 1800
    row_key_attributes: int = 64
    hbase_columns: int = 4096
    opentsdb_schemas: int = 64
    schema_name_length: int = 32
    destination_seconds: float = 10.0

    # Monitoring (5.6: 7 days), events and their subscriptions (chapter 6; the numbers are ours)
    metric_days: int = 7
    event_days: int = 15
    events_per_project: int = 1000
    list_events_max: int = 1000
    list_events_default: int = 100
    subscriptions_per_project: int = 20
    streams_per_subscription: int = 100
    webhook_url_length: int = 2048
    webhook_secret_length: int = 256
    webhook_seconds: float = 10.0
    webhook_hours: int = 24
    webhooks_at_once: int = 32
    deliveries_per_subscription: int = 1000

    # Records (5.4.1; decoded data, partition keys not counted)
    record_bytes: int = MIB
    request_bytes: int = 5 * MIB
    records_per_request: int = 10_000
    partition_key_length: int = 4096

    # Reads (5.4.2, 5.4.3)
    fetch_bytes_default: int = 2 * MIB
    fetch_bytes_max: int = 10 * MIB
    fetch_records_max: int = 10_000
    cursor_length: int = 512
    cursor_seconds: int = 300

    # Bodies (3.2: a signed body is at most 12 MB)
    body_signed_bytes: int = 12 * MIB
    body_token_bytes: int = 12 * MIB
    body_unauthenticated_bytes: int = 64 * KIB
    bodies_in_flight_bytes: int = 256 * MIB
    replies_unread_bytes: int = 12 * MIB

    # Connections
    header_bytes: int = 64 * KIB
    header_count: int = 100
    header_seconds: float = 10.0
    body_idle_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
    connections: int = 4096

    # Identity (3.2)
    token_seconds: int = 24 * 3600
    revoked_tokens_per_user: int = 10_000
    access_keys_per_user: int = 2
    temporary_key_seconds_min: int = 900
    temporary_key_seconds_max: int = 24 * 3600
    temporary_key_policy_bytes: int = 2048
    signature_skew_seconds: int = 15 * 60
    failures_per_minute: int = 20

    # Users, groups and policies (chapter 6; the numbers are ours but for the sizes of a policy)
    accounts: int = 1000
    users_per_account: int = 1000
    groups_per_account: int = 200
    groups_per_user: int = 20
    projects_per_account: int = 200
    agencies_per_account: int = 50
    policies_per_account: int = 200
    policy_bytes: int = 6144
    statements_per_policy: int = 8
    actions_per_statement: int = 100
    grants_per_subject: int = 500
    password_length_min: int = 6

    # Rates (DIS.4303 per partition, DIS.4305 per project and second)
    common: PartitionRate = PartitionRate(write_bytes=MIB, write_records=1000, read_bytes=2 * MIB)
    advanced: PartitionRate = PartitionRate(write_bytes=5 * MIB, write_records=2000, read_bytes=10 * MIB)
    control_requests_per_second: int = 100


_FREE = PartitionRate(write_bytes=UNLIMITED, write_records=UNLIMITED, read_bytes=UNLIMITED)

PROFILES: dict[str, Limits] = {
    "documented": Limits(),
    "relaxed": Limits(
        partitions_common=UNLIMITED,
        partitions_advanced=UNLIMITED,
        streams_per_project=UNLIMITED,
        apps_per_project=UNLIMITED,
        scale_ups_automatic_per_hour=UNLIMITED,
        scale_ups_manual_per_hour=UNLIMITED,
        scale_downs_per_hour=UNLIMITED,
        tasks_per_stream=100,
        request_bytes=64 * MIB,
        records_per_request=100_000,
        body_token_bytes=64 * MIB,
        common=_FREE,
        advanced=_FREE,
        control_requests_per_second=UNLIMITED,
    ),
}

ProfileName = Literal["documented", "relaxed"]


def profile(name: str, overrides: dict[str, object] | None = None) -> Limits:
    """The limits of profile `name` with single limits replaced.

    Raises `KeyError` for an unknown profile and `ValueError` naming a limit that does not exist or has a wrong value.
    """
    base = PROFILES[name]
    if not overrides:
        return base
    merged = msgspec.to_builtins(base)
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] |= value
        else:
            merged[key] = value
    try:
        limits = msgspec.convert(merged, Limits)
    except msgspec.ValidationError as error:
        raise ValueError(f"[limits]: {error}") from error
    for key, value in msgspec.to_builtins(limits).items():
        for name_, number in value.items() if isinstance(value, dict) else [(key, value)]:
            if number <= 0:
                raise ValueError(f"[limits] {name_} must be greater than 0")
    return limits
