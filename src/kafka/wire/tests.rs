//! The decoders against the crate's encoders, and against bytes that lie.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, Request, StrBytes};

use super::*;
use crate::names::{
    AclRule, BrokerId, Mechanism, Operation, Permission, Principal, ResourceType, UserName, UserQuotas,
};

/// Unknown tagged fields, which newer brokers may send anywhere.
fn tags() -> BTreeMap<i32, Bytes> {
    BTreeMap::from([(7, Bytes::from_static(b"newer")), (300, Bytes::new())])
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn encoded<A: Answer>(response: &<A::Request as Request>::Response) -> BytesMut {
    let mut body = BytesMut::new();
    response.encode(&mut body, A::VERSION).unwrap();
    body
}

/// Decodes what the crate encoded, and makes sure that no shorter and no longer body is taken for it.
fn decoded<A: Answer + std::fmt::Debug>(response: &<A::Request as Request>::Response) -> Answered<A> {
    let body = encoded::<A>(response);
    for end in 0..body.len() {
        assert!(decode_body::<A>(Reader::new(&body[..end])).is_err(), "{end} of {} bytes", body.len());
    }
    let longer = [&body[..], &[0]].concat();
    assert!(decode_body::<A>(Reader::new(&longer)).is_err());
    for index in 0..body.len() {
        for bit in 0..8 {
            let mut damaged = body.to_vec();
            damaged[index] ^= 1 << bit;
            let _ = decode_body::<A>(Reader::new(&damaged));
        }
    }
    decode_body::<A>(Reader::new(&body)).unwrap()
}

#[test]
fn versions_and_the_image_epoch_are_read() {
    let range = api_versions_response::ApiVersion::default()
        .with_api_key(51)
        .with_min_version(0)
        .with_max_version(2)
        .with_unknown_tagged_fields(tags());
    let feature =
        api_versions_response::SupportedFeatureKey::default().with_name(text("metadata.version")).with_max_version(20);
    let response = ApiVersionsResponse::default()
        .with_api_keys(vec![range])
        .with_throttle_time_ms(12)
        .with_supported_features(vec![feature])
        .with_finalized_features_epoch(77)
        .with_unknown_tagged_fields(tags());
    let answer = decoded::<ApiVersions>(&response);
    assert_eq!(answer.throttle, Duration::from_millis(12));
    assert_eq!(answer.body.ranges, BTreeMap::from([(51, (0, 2))]));
    assert_eq!(answer.body.epoch, Some(77));
    // An old broker answers in version 0, whatever was asked.
    let mut body = BytesMut::new();
    ApiVersionsResponse::default().with_error_code(35).encode(&mut body, 0).unwrap();
    assert_eq!(decode_body::<ApiVersions>(Reader::new(&body)).unwrap().code, ErrorCode::UNSUPPORTED_VERSION);
}

#[test]
fn steps_of_a_login_are_read() {
    let response = SaslHandshakeResponse::default()
        .with_error_code(33)
        .with_mechanisms(vec![text("PLAIN"), text("SCRAM-SHA-512")]);
    let answer = decoded::<SaslShaken>(&response);
    assert_eq!((answer.code, answer.body.mechanisms), (ErrorCode(33), vec!["PLAIN".into(), "SCRAM-SHA-512".into()]));
    let response = SaslAuthenticateResponse::default()
        .with_error_message(None)
        .with_auth_bytes(Bytes::from_static(b"v=x"))
        .with_session_lifetime_ms(5000)
        .with_unknown_tagged_fields(tags());
    let answer = decoded::<SaslAuthenticated>(&response);
    assert_eq!((answer.body.message.as_slice(), answer.body.session_lifetime_ms), (&b"v=x"[..], 5000));
}

#[test]
fn a_cluster_is_read() {
    let broker = describe_cluster_response::DescribeClusterBroker::default()
        .with_broker_id(2.into())
        .with_host(text("::1"))
        .with_port(9092)
        .with_rack(None)
        .with_unknown_tagged_fields(tags());
    let response = DescribeClusterResponse::default()
        .with_cluster_id(text("abc"))
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations((1 << 7) | (1 << 8) | (1 << 30))
        .with_unknown_tagged_fields(tags());
    let answer = decoded::<DescribedCluster>(&response).body;
    assert_eq!(answer.id.unwrap().as_str(), "abc");
    assert_eq!(answer.brokers[&BrokerId(2)].to_string(), "[::1]:9092");
    assert_eq!(answer.operations, [Operation::Alter, Operation::Describe].into());
    let unasked = response.with_cluster_authorized_operations(i32::MIN);
    assert!(decoded::<DescribedCluster>(&unasked).body.operations.is_empty());
}

#[test]
fn a_broker_that_does_not_run_is_read() {
    let broker = |id: i32, fenced| {
        describe_cluster_response::DescribeClusterBroker::default()
            .with_broker_id(id.into())
            .with_host(text("h"))
            .with_is_fenced(fenced)
            .with_unknown_tagged_fields(tags())
    };
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(1)
        .with_cluster_id(text("abc"))
        .with_brokers(vec![broker(1, false), broker(2, true)])
        .with_unknown_tagged_fields(tags());
    let brokers = decoded::<RegisteredBrokers>(&response).body;
    assert_eq!((brokers.running, brokers.absent), ([BrokerId(1)].into(), [BrokerId(2)].into()));
}

#[test]
fn credentials_are_read_and_unknown_mechanisms_left_out() {
    use describe_user_scram_credentials_response::{CredentialInfo, DescribeUserScramCredentialsResult};
    let info = |mechanism| CredentialInfo::default().with_mechanism(mechanism).with_iterations(8192);
    let result = DescribeUserScramCredentialsResult::default()
        .with_user(text("Müller"))
        .with_credential_infos(vec![info(1), info(3)])
        .with_unknown_tagged_fields(tags());
    let response = DescribeUserScramCredentialsResponse::default().with_results(vec![result]);
    let answer = decoded::<DescribedScram>(&response).body;
    assert_eq!(answer.users[0].name, "Müller");
    assert_eq!(answer.users[0].mechanisms, [(Mechanism::ScramSha256, 8192)]);

    let result = alter_user_scram_credentials_response::AlterUserScramCredentialsResult::default()
        .with_user(text("a"))
        .with_error_code(91)
        .with_error_message(Some(text("dump")));
    let response = AlterUserScramCredentialsResponse::default().with_results(vec![result]);
    assert_eq!(decoded::<AlteredScram>(&response).body.users, [("a".to_owned(), ErrorCode(91))]);
}

fn rule(operation: Operation) -> AclRule {
    AclRule {
        permission: Permission::Allow,
        resource_type: ResourceType::Topic,
        pattern_type: crate::names::PatternType::Prefix,
        resource_name: "orders.".into(),
        operation,
        host: "*".into(),
    }
}

#[test]
fn acls_are_read_and_unknown_ones_counted() {
    use describe_acls_response::{AclDescription, DescribeAclsResource};
    let acl = |operation| {
        AclDescription::default()
            .with_principal(text("User:a"))
            .with_host(text("*"))
            .with_operation(operation)
            .with_permission_type(3)
            .with_unknown_tagged_fields(tags())
    };
    let resource = DescribeAclsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders."))
        .with_pattern_type(4)
        .with_acls(vec![acl(3), acl(99), acl(4)]);
    let newer = resource.clone().with_resource_type(42);
    let response = DescribeAclsResponse::default().with_resources(vec![resource, newer]);
    let ListedAcls(listing) = decoded::<ListedAcls>(&response).body;
    let principal = Principal::parse("User:a").unwrap();
    assert_eq!(listing.unknown, 4);
    assert_eq!(
        listing.rules,
        [(principal.clone(), rule(Operation::Read)), (principal.clone(), rule(Operation::Write))]
    );

    let codes = [0, 31].map(|code| create_acls_response::AclCreationResult::default().with_error_code(code));
    let response = CreateAclsResponse::default().with_results(codes.into());
    assert_eq!(decoded::<CreatedAcls>(&response).body.0, [ErrorCode::NONE, ErrorCode(31)]);

    let gone = delete_acls_response::DeleteAclsMatchingAcl::default()
        .with_resource_type(2)
        .with_resource_name(text("orders."))
        .with_pattern_type(4)
        .with_principal(text("User:a"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3);
    let filter = delete_acls_response::DeleteAclsFilterResult::default().with_matching_acls(vec![gone]);
    let failed = delete_acls_response::DeleteAclsFilterResult::default().with_error_code(-1);
    let response = DeleteAclsResponse::default().with_filter_results(vec![filter, failed]);
    let RemovedAcls(filters) = decoded::<RemovedAcls>(&response).body;
    assert_eq!(filters[0].as_ref().unwrap().rules, [(principal, rule(Operation::Read))]);
    assert_eq!(filters[1], Err(ErrorCode(-1)));
}

#[test]
fn quotas_of_named_users_alone_are_read() {
    use describe_client_quotas_response::{EntityData, EntryData, ValueData};
    let component = |kind: &str, name: Option<&str>| {
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text))
    };
    let values = vec![
        ValueData::default().with_key(text("consumer_byte_rate")).with_value(1024.0),
        ValueData::default().with_key(text("newer_rate")).with_value(1.0),
    ];
    let entry = |entity: Vec<EntityData>| EntryData::default().with_entity(entity).with_values(values.clone());
    let entries = vec![
        entry(vec![component("user", Some("a"))]),
        entry(vec![component("user", None)]),
        entry(vec![component("user", Some("b")), component("client-id", Some("c"))]),
        entry(vec![component("client-id", Some("d"))]),
    ];
    let response = DescribeClientQuotasResponse::default().with_entries(Some(entries));
    let quotas = UserQuotas { consumer_byte_rate: Some(1024.0), ..UserQuotas::default() };
    let users = decoded::<DescribedQuotas>(&response).body.users;
    assert_eq!(users, BTreeMap::from([(UserName::parse("a").unwrap(), quotas)]));
    let refused = DescribeClientQuotasResponse::default().with_error_code(31).with_entries(None);
    assert_eq!(decoded::<DescribedQuotas>(&refused).code, ErrorCode(31));

    let entity = alter_client_quotas_response::EntityData::default()
        .with_entity_type(text("user"))
        .with_entity_name(Some(text("a")));
    let entry = alter_client_quotas_response::EntryData::default().with_error_code(42).with_entity(vec![entity]);
    let response = AlterClientQuotasResponse::default().with_entries(vec![entry]);
    assert_eq!(decoded::<AlteredQuotas>(&response).body.users, [("a".to_owned(), ErrorCode(42))]);
}

#[test]
fn configuration_is_read() {
    use describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym};
    let synonym = DescribeConfigsSynonym::default().with_name(text("super.users")).with_value(None);
    let entry = DescribeConfigsResourceResult::default()
        .with_name(text("super.users"))
        .with_value(Some(text("User:admin;User:x")))
        .with_config_source(4)
        .with_synonyms(vec![synonym])
        .with_documentation(None)
        .with_unknown_tagged_fields(tags());
    let unset = DescribeConfigsResourceResult::default().with_name(text("a.key")).with_config_source(5);
    let result = DescribeConfigsResult::default().with_resource_name(text("1")).with_configs(vec![entry, unset]);
    let response = DescribeConfigsResponse::default().with_results(vec![result]);
    let answer = decoded::<DescribedConfigs>(&response).body;
    assert_eq!(answer.entries[0].key, "super.users");
    assert_eq!(answer.entries[0].value.as_deref(), Some("User:admin;User:x"));
    assert_eq!(answer.entries.iter().map(|entry| entry.is_set).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn an_answer_belongs_to_its_request() {
    let body = encoded::<CreatedAcls>(&CreateAclsResponse::default());
    let frame = |id: i32| [&id.to_be_bytes()[..], &[0], &body[..]].concat();
    assert!(decode::<CreatedAcls>(&frame(5), 5).is_ok());
    assert_eq!(decode::<CreatedAcls>(&frame(6), 5).unwrap_err(), Malformed("an answer to another request"));
    assert!(decode::<CreatedAcls>(&[0, 0], 5).is_err());
}

#[test]
fn a_request_is_encoded_into_a_buffer_of_its_final_size() {
    let credential = alter_user_scram_credentials_request::ScramCredentialUpsertion::default()
        .with_name(text("a"))
        .with_salted_password(Bytes::from(vec![7; 64]));
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![credential; 100]);
    let frame = encode::<AlteredScram>(&request, 1, "kastellan").unwrap();
    assert_eq!(frame.len(), frame.capacity(), "a buffer that grew leaves copies of secrets behind");
    assert_eq!(frame.len() - 4, u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize);
}
