//! ACLs and quotas in lines: rules that differ only in their operation share one.

use std::collections::BTreeMap;

use super::number::byte_rate;
use crate::names::{AclRule, Operation, Permission, Resource, UserQuotas};

/// One line about ACLs, e.g. `allow Read, Write on topic payments.*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessLine {
    /// Allow or deny.
    pub permission: Permission,
    /// What it says.
    pub text: String,
    /// How many ACLs it stands for.
    pub rules: usize,
}

/// The lines of some rules, denials first.
pub fn access_lines(rules: &[AclRule]) -> Vec<AccessLine> {
    let mut grouped: BTreeMap<(Permission, String, &str), Vec<Operation>> = BTreeMap::new();
    for rule in rules {
        let key = (rule.permission, Resource(rule).to_string(), &*rule.host);
        grouped.entry(key).or_default().push(rule.operation);
    }
    let lines = grouped.into_iter().map(|((permission, resource, host), mut operations)| {
        operations.sort();
        let names = operations.iter().map(|operation| operation.as_str()).collect::<Vec<_>>().join(", ");
        let from = if host == "*" { String::new() } else { format!(" from {host}") };
        AccessLine { permission, text: format!("{permission} {names} on {resource}{from}"), rules: operations.len() }
    });
    lines.collect()
}

/// Each quota that is set, e.g. `producer 10 MiB/s`; in a fixed order.
pub fn quota_lines(quotas: &UserQuotas) -> Vec<String> {
    let rates = [("producer", quotas.producer_byte_rate), ("consumer", quotas.consumer_byte_rate)];
    let mut lines = Vec::new();
    lines.extend(rates.into_iter().filter_map(|(name, rate)| Some(format!("{name} {}", byte_rate(rate?)))));
    lines.extend(quotas.request_percentage.map(|percent| format!("requests {percent} %")));
    lines.extend(quotas.controller_mutation_rate.map(|rate| format!("partition changes {rate}/s")));
    lines
}
