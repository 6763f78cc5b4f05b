//! What each request does, with the answers of real brokers (`kafka.md` §1 and §2), odd ones included.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::alter_client_quotas_response::{EntityData as AlteredEntity, EntryData as AlteredEntry};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use kastellan::names::{
    AclRule, BrokerId, Mechanism, Operation, PatternType, Permission, Principal, ResourceType, UserName,
};

use super::state::{Change, State, StoredCredential};
use super::{Door, Shared, World};

const UNKNOWN: i16 = -1;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const RESOURCE_NOT_FOUND: i16 = 91;
const DUPLICATE_RESOURCE: i16 = 92;
const UNACCEPTABLE_CREDENTIAL: i16 = 93;

/// Records of one request beyond which the active controller gives up leadership, and matches of one filter beyond which
/// DeleteAcls fails as a whole.
const RECORDS_MAX: usize = 10_000;

/// How a request is to be treated.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) refuse: Option<i16>,
    pub(super) throttle_ms: i32,
}

/// A request of a principal to a broker.
pub(super) struct Api<'a> {
    pub(super) shared: &'a Shared,
    pub(super) broker: BrokerId,
    pub(super) door: Door,
    pub(super) user: &'a UserName,
    pub(super) call: &'a Call,
}

impl World {
    fn image(&mut self, broker: BrokerId) -> &super::Image {
        let image = self.images.get_mut(&broker).expect("a broker of the cluster");
        image.advance(&mut self.log);
        image
    }

    /// Counts a write, and begins its entry in the log.
    fn begin_write(&mut self, api: ApiKey, items: usize) {
        *self.items.entry(api as i16).or_default() += items;
        let largest = self.largest.entry(api as i16).or_default();
        *largest = (*largest).max(items);
        self.log.begin();
    }
}

impl Api<'_> {
    fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(self.shared.world().image(self.broker).state())
    }

    /// The code for a principal that lacks a right, or for a planned refusal.
    fn refusal(&self, operation: Operation) -> Option<i16> {
        if let Some(code) = self.call.refuse {
            return Some(code);
        }
        let principal = Principal::of_user(self.user);
        let allowed = self.look(|state| state.cluster_operations(&principal));
        (!allowed.contains(&operation)).then_some(CLUSTER_AUTHORIZATION_FAILED)
    }

    pub(super) fn api_versions(&self, request: Option<(&ApiVersionsRequest, i16)>) -> ApiVersionsResponse {
        let mut answer = ApiVersionsResponse::default().with_throttle_time_ms(self.call.throttle_ms);
        let Some((request, version)) = request else { return answer.with_error_code(UNSUPPORTED_VERSION) };
        if version >= 3 && request.client_software_name.is_empty() {
            return answer.with_error_code(INVALID_REQUEST);
        }
        let keys = [
            (ApiKey::ApiVersions, 0, 4),
            (ApiKey::Metadata, 0, 13),
            (ApiKey::SaslHandshake, 0, 1),
            (ApiKey::SaslAuthenticate, 0, 2),
            (ApiKey::DescribeCluster, 0, 2),
            (ApiKey::DescribeConfigs, 1, 4),
            (ApiKey::DescribeAcls, 1, 3),
            (ApiKey::CreateAcls, 1, 3),
            (ApiKey::DeleteAcls, 1, 3),
            (ApiKey::DescribeClientQuotas, 0, 1),
            (ApiKey::AlterClientQuotas, 0, 1),
            (ApiKey::DescribeUserScramCredentials, 0, 0),
            (ApiKey::AlterUserScramCredentials, 0, 0),
        ];
        answer.error_code = self.call.refuse.unwrap_or(0);
        answer.api_keys = keys
            .map(|(key, min, max)| {
                ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(max)
            })
            .into();
        answer.finalized_features_epoch = self.shared.world().image(self.broker).epoch();
        answer
    }

    pub(super) fn describe_cluster(&self, request: &DescribeClusterRequest) -> Option<DescribeClusterResponse> {
        let principal = Principal::of_user(self.user);
        let bits = self.look(|state| {
            state.cluster_operations(&principal).iter().fold(0, |bits, operation| bits | 1 << operation.code())
        });
        let fenced = self.shared.world().fenced.clone();
        let is_fenced = |id: &BrokerId| fenced.get(id).is_some_and(|known_to| known_to.contains(&self.broker));
        let here = self.shared.addresses.iter().filter(|((_, door), _)| *door == self.door);
        let told = here.filter(|((id, _), _)| request.include_fenced_brokers || !is_fenced(id));
        let brokers = told.map(|((id, _), at)| {
            DescribeClusterBroker::default()
                .with_is_fenced(is_fenced(id))
                .with_broker_id(id.0.into())
                .with_host(text(&at.host))
                .with_port(i32::from(at.port))
                .with_rack(None)
        });
        let answer = DescribeClusterResponse::default()
            .with_throttle_time_ms(self.call.throttle_ms)
            .with_error_code(self.call.refuse.unwrap_or(0))
            .with_error_message(Some(StrBytes::default()))
            .with_cluster_id(text(&self.shared.settings.cluster_id))
            .with_controller_id(self.broker.0.into())
            .with_brokers(brokers.collect());
        let is_asked = request.include_cluster_authorized_operations;
        Some(answer.with_cluster_authorized_operations(if is_asked { bits } else { i32::MIN }))
    }

    /// Keys outside of a broker's own definitions are sensitive: known, without a value.
    pub(super) fn describe_configs(&self, request: &DescribeConfigsRequest) -> Option<DescribeConfigsResponse> {
        let refusal = self.refusal(Operation::DescribeConfigs);
        let results = request.resources.iter().map(|resource| {
            let keys = resource.configuration_keys.iter().flatten().filter(|_| refusal.is_none());
            let lifetime = self.shared.settings.session_lifetime_ms.to_string();
            // Who names no key is told of all; this is the one that anybody asks about.
            let all = (resource.configuration_keys.is_none() && refusal.is_none()).then(|| {
                DescribeConfigsResourceResult::default()
                    .with_name(StrBytes::from_static_str("connections.max.reauth.ms"))
                    .with_value(Some(StrBytes::from_string(lifetime)))
                    .with_documentation(None)
            });
            let configs = keys.map(|key| {
                DescribeConfigsResourceResult::default()
                    .with_name(key.clone())
                    .with_value(None)
                    .with_is_sensitive(true)
                    .with_documentation(None)
            });
            DescribeConfigsResult::default()
                .with_error_code(refusal.unwrap_or(0))
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_configs(configs.chain(all).collect())
        });
        let results = results.collect();
        Some(DescribeConfigsResponse::default().with_throttle_time_ms(self.call.throttle_ms).with_results(results))
    }

    /// `None` is the answer that never comes: to "all users", asked without the right (`kafka.md` §1).
    pub(super) fn describe_scram(
        &self,
        request: &DescribeUserScramCredentialsRequest,
    ) -> Option<DescribeUserScramCredentialsResponse> {
        let mut answer = DescribeUserScramCredentialsResponse::default()
            .with_throttle_time_ms(self.call.throttle_ms)
            .with_error_message(Some(StrBytes::default()));
        let refusal = self.refusal(Operation::Describe);
        if let Some(code) = refusal {
            request.users.as_ref()?;
            return Some(answer.with_error_code(code));
        }
        let named = request.users.as_deref().unwrap_or_default();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        named.iter().for_each(|user| *counts.entry(&user.name).or_default() += 1);
        answer.results = self.look(|state| {
            let mut shown: BTreeMap<&UserName, Vec<CredentialInfo>> = BTreeMap::new();
            for ((user, mechanism), credential) in &state.credentials {
                let info = CredentialInfo::default()
                    .with_mechanism(mechanism.wire_type())
                    .with_iterations(credential.iterations);
                shown.entry(user).or_default().push(info);
            }
            let result = |user: &str, infos: Option<Vec<CredentialInfo>>| {
                let code = match (&infos, counts.get(user)) {
                    (_, Some(2..)) => DUPLICATE_RESOURCE,
                    (None, _) => RESOURCE_NOT_FOUND,
                    (Some(_), _) => 0,
                };
                DescribeUserScramCredentialsResult::default()
                    .with_user(text(user))
                    .with_error_code(code)
                    .with_credential_infos(infos.unwrap_or_default())
            };
            if named.is_empty() {
                return shown.into_iter().map(|(user, infos)| result(user.as_str(), Some(infos))).collect();
            }
            // Not in the order of the request.
            let slots = |user: &str| UserName::parse(user).ok().and_then(|user| shown.get(&user).cloned());
            counts.keys().rev().map(|user| result(user, slots(user))).collect()
        });
        Some(answer)
    }

    pub(super) fn alter_scram(
        &self,
        request: &AlterUserScramCredentialsRequest,
    ) -> Option<AlterUserScramCredentialsResponse> {
        let mut users: BTreeMap<&str, usize> = BTreeMap::new();
        request.deletions.iter().for_each(|one| *users.entry(&one.name).or_default() += 1);
        request.upsertions.iter().for_each(|one| *users.entry(&one.name).or_default() += 1);
        let records = request.deletions.len() + request.upsertions.len();
        let refusal = self.refusal(Operation::Alter).or((records > RECORDS_MAX).then_some(UNKNOWN));
        let mut world = self.shared.world();
        world.begin_write(ApiKey::AlterUserScramCredentials, records);
        let mut codes: BTreeMap<&str, i16> = BTreeMap::new();
        for one in &request.deletions {
            codes.insert(&one.name, deletion(&mut world, one, refusal.or(duplicate(&users, &one.name))));
        }
        for one in &request.upsertions {
            codes.insert(&one.name, upsertion(&mut world, one, refusal.or(duplicate(&users, &one.name))));
        }
        let results = codes.into_iter().rev().map(|(user, code)| {
            AlterUserScramCredentialsResult::default()
                .with_user(text(user))
                .with_error_code(code)
                .with_error_message((code != 0).then(|| text("java.lang.Object@1f2e3d")))
        });
        let results = results.collect();
        Some(
            AlterUserScramCredentialsResponse::default()
                .with_throttle_time_ms(self.call.throttle_ms)
                .with_results(results),
        )
    }

    pub(super) fn describe_acls(&self, request: &DescribeAclsRequest) -> Option<DescribeAclsResponse> {
        let mut answer = DescribeAclsResponse::default()
            .with_throttle_time_ms(self.call.throttle_ms)
            .with_error_message(Some(StrBytes::default()));
        if let Some(code) = self.refusal(Operation::Describe) {
            return Some(answer.with_error_code(code));
        }
        let principal = request.principal_filter.as_ref().map(StrBytes::as_str);
        answer.resources = self.look(|state| {
            let mut resources: BTreeMap<(i8, i8, &str), Vec<AclDescription>> = BTreeMap::new();
            for (of, rule) in &state.acls {
                if principal.is_none_or(|principal| principal == of.as_str()) {
                    let resource = (rule.resource_type.code(), rule.pattern_type.code(), &*rule.resource_name);
                    let acl = AclDescription::default()
                        .with_principal(text(of.as_str()))
                        .with_host(text(&rule.host))
                        .with_operation(rule.operation.code())
                        .with_permission_type(rule.permission.code());
                    resources.entry(resource).or_default().push(acl);
                }
            }
            let resource = |((resource_type, pattern_type, name), acls)| {
                DescribeAclsResource::default()
                    .with_resource_type(resource_type)
                    .with_pattern_type(pattern_type)
                    .with_resource_name(text(name))
                    .with_acls(acls)
            };
            resources.into_iter().map(resource).collect()
        });
        Some(answer)
    }

    pub(super) fn create_acls(&self, request: &CreateAclsRequest) -> Option<CreateAclsResponse> {
        let refusal = self.refusal(Operation::Alter);
        let mut world = self.shared.world();
        world.begin_write(ApiKey::CreateAcls, request.creations.len());
        let results = request.creations.iter().map(|one| {
            let acl = acl_of(
                (one.resource_type, &one.resource_name, one.resource_pattern_type),
                (&one.principal, &one.host),
                (one.operation, one.permission_type),
            );
            let code = refusal.unwrap_or(if acl.is_some() { 0 } else { INVALID_REQUEST });
            if let (0, Some((principal, rule))) = (code, acl) {
                world.log.add(Change::AddAcl(principal, rule));
            }
            AclCreationResult::default().with_error_code(code).with_error_message(Some(StrBytes::default()))
        });
        let results = results.collect();
        Some(CreateAclsResponse::default().with_throttle_time_ms(self.call.throttle_ms).with_results(results))
    }

    pub(super) fn delete_acls(&self, request: &DeleteAclsRequest) -> Option<DeleteAclsResponse> {
        let refusal = self.refusal(Operation::Alter);
        let mut world = self.shared.world();
        world.begin_write(ApiKey::DeleteAcls, request.filters.len());
        let matches = |filter: &delete_acls_request::DeleteAclsFilter, world: &World| -> Vec<(Principal, AclRule)> {
            let acls = world.log.state().acls.iter();
            acls.filter(|(principal, rule)| is_match(filter, principal, rule)).cloned().collect()
        };
        let too_many = request.filters.iter().any(|filter| matches(filter, &world).len() > RECORDS_MAX);
        let refusal = refusal.or(too_many.then_some(INVALID_REQUEST));
        let results = request.filters.iter().map(|filter| {
            let gone = if refusal.is_none() { matches(filter, &world) } else { Vec::new() };
            for (principal, rule) in &gone {
                world.log.add(Change::RemoveAcl(principal.clone(), rule.clone()));
            }
            DeleteAclsFilterResult::default()
                .with_error_code(refusal.unwrap_or(0))
                .with_matching_acls(gone.iter().map(matching).collect())
        });
        let results = results.collect();
        Some(DeleteAclsResponse::default().with_throttle_time_ms(self.call.throttle_ms).with_filter_results(results))
    }

    /// Like our client asks: named users alone, strictly.
    pub(super) fn describe_quotas(
        &self,
        request: &DescribeClientQuotasRequest,
    ) -> Option<DescribeClientQuotasResponse> {
        let mut answer = DescribeClientQuotasResponse::default()
            .with_throttle_time_ms(self.call.throttle_ms)
            .with_error_message(Some(StrBytes::default()));
        let is_ours = request.components.iter().all(|component| component._match.is_none());
        let refusal = self.refusal(Operation::DescribeConfigs).or((!is_ours).then_some(INVALID_REQUEST));
        if let Some(code) = refusal {
            return Some(answer.with_error_code(code).with_entries(None));
        }
        let entry = |(user, values): (&UserName, &BTreeMap<String, f64>)| {
            let entity =
                EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text(user.as_str())));
            let value = |(key, value): (&String, &f64)| ValueData::default().with_key(text(key)).with_value(*value);
            EntryData::default().with_entity(vec![entity]).with_values(values.iter().map(value).collect())
        };
        answer.entries = Some(self.look(|state| state.quotas.iter().map(entry).collect()));
        Some(answer)
    }

    pub(super) fn alter_quotas(&self, request: &AlterClientQuotasRequest) -> Option<AlterClientQuotasResponse> {
        let refusal = self.refusal(Operation::AlterConfigs);
        let mut world = self.shared.world();
        world.begin_write(ApiKey::AlterClientQuotas, request.entries.len());
        let mut seen = BTreeSet::new();
        let mut results = Vec::new();
        for entry in &request.entries {
            let name = entry.entity.first().and_then(|entity| entity.entity_name.clone());
            let user = name.clone().and_then(|name| UserName::parse(name.as_str()).ok());
            let is_whole = |key: &str, value: f64| !key.ends_with("byte_rate") || value.fract() == 0.0;
            let is_valid = entry.ops.iter().all(|one| one.remove || is_whole(&one.key, one.value));
            let code = match &user {
                _ if refusal.is_some() => refusal.unwrap_or_default(),
                Some(user) if is_valid && seen.insert(user.clone()) => {
                    for one in &entry.ops {
                        let value = (!one.remove).then_some(one.value);
                        world.log.add(Change::Quota(user.clone(), one.key.to_string(), value));
                    }
                    0
                }
                Some(_) | None => INVALID_REQUEST,
            };
            let entity = AlteredEntity::default().with_entity_type(text("user")).with_entity_name(name);
            results.push(AlteredEntry::default().with_error_code(code).with_entity(vec![entity]));
        }
        results.reverse();
        Some(AlterClientQuotasResponse::default().with_throttle_time_ms(self.call.throttle_ms).with_entries(results))
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn duplicate(users: &BTreeMap<&str, usize>, user: &str) -> Option<i16> {
    (users[user] > 1).then_some(DUPLICATE_RESOURCE)
}

fn deletion(
    world: &mut World,
    one: &alter_user_scram_credentials_request::ScramCredentialDeletion,
    refusal: Option<i16>,
) -> i16 {
    let slot = (UserName::parse(one.name.as_str()), Mechanism::from_wire_type(one.mechanism));
    match (refusal, slot) {
        (Some(code), _) => code,
        (None, (Ok(user), Ok(mechanism))) => {
            if !world.log.state().credentials.contains_key(&(user.clone(), mechanism)) {
                return RESOURCE_NOT_FOUND;
            }
            world.log.add(Change::Credential(user, mechanism, None));
            0
        }
        (None, (Err(_), _)) => UNACCEPTABLE_CREDENTIAL,
        (None, (_, Err(_))) => UNSUPPORTED_SASL_MECHANISM,
    }
}

fn upsertion(
    world: &mut World,
    one: &alter_user_scram_credentials_request::ScramCredentialUpsertion,
    refusal: Option<i16>,
) -> i16 {
    let slot = (UserName::parse(one.name.as_str()), Mechanism::from_wire_type(one.mechanism));
    match (refusal, slot) {
        (Some(code), _) => code,
        (None, (_, Err(_))) => UNSUPPORTED_SASL_MECHANISM,
        (None, (Ok(user), Ok(mechanism))) if (4096..=16384).contains(&one.iterations) => {
            let credential = StoredCredential::from_salted(mechanism, &one.salt, one.iterations, &one.salted_password);
            world.log.add(Change::Credential(user, mechanism, Some(credential)));
            0
        }
        (None, (_, Ok(_))) => UNACCEPTABLE_CREDENTIAL,
    }
}

fn acl_of(
    (resource_type, name, pattern_type): (i8, &str, i8),
    (principal, host): (&str, &str),
    (operation, permission): (i8, i8),
) -> Option<(Principal, AclRule)> {
    let rule = AclRule {
        permission: Permission::from_code(permission)?,
        resource_type: ResourceType::from_code(resource_type)?,
        pattern_type: PatternType::from_code(pattern_type)?,
        resource_name: name.into(),
        operation: Operation::from_code(operation)?,
        host: host.into(),
    };
    Some((Principal::parse(principal).ok()?, rule))
}

fn is_match(filter: &delete_acls_request::DeleteAclsFilter, principal: &Principal, rule: &AclRule) -> bool {
    let code = |wanted: i8, actual: i8| wanted == 1 || wanted == actual;
    let name = |wanted: &Option<StrBytes>, actual: &str| wanted.as_ref().is_none_or(|wanted| wanted.as_str() == actual);
    code(filter.resource_type_filter, rule.resource_type.code())
        && code(filter.pattern_type_filter, rule.pattern_type.code())
        && code(filter.operation, rule.operation.code())
        && code(filter.permission_type, rule.permission.code())
        && name(&filter.resource_name_filter, &rule.resource_name)
        && name(&filter.principal_filter, principal.as_str())
        && name(&filter.host_filter, &rule.host)
}

fn matching((principal, rule): &(Principal, AclRule)) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl::default()
        .with_resource_type(rule.resource_type.code())
        .with_resource_name(text(&rule.resource_name))
        .with_pattern_type(rule.pattern_type.code())
        .with_principal(text(principal.as_str()))
        .with_host(text(&rule.host))
        .with_operation(rule.operation.code())
        .with_permission_type(rule.permission.code())
}
