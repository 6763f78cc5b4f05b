//! The difference between declared and existing ACLs and quotas of one principal on one cluster.

use crate::names::{AclRule, UserQuotas};

/// What has to be created and taken away for one principal on one cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessChange {
    /// ACLs to create, denials first.
    pub create: Vec<AclRule>,
    /// ACLs to delete, denials last.
    pub delete: Vec<AclRule>,
    /// Whether `delete` is every ACL of the principal, so that one filter does (kafka.md §2).
    pub delete_is_whole: bool,
    /// Quotas to change; `None` when they are as declared.
    pub quotas: Option<QuotaChange>,
}

/// How a user's quotas change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaChange {
    /// As they are.
    pub from: UserQuotas,
    /// As they shall be.
    pub to: UserQuotas,
}

impl QuotaChange {
    /// How many quotas are taken away altogether.
    pub fn removed(&self) -> usize {
        let pairs = self.from.values().into_iter().zip(self.to.values());
        pairs.filter(|(from, to)| from.is_some() && to.is_none()).count()
    }

    /// Whether any quota is set.
    pub fn sets(&self) -> bool {
        let mut pairs = self.from.values().into_iter().zip(self.to.values());
        pairs.any(|(from, to)| to.is_some() && from != to)
    }
}

impl AccessChange {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty() && self.quotas.is_none()
    }

    /// Whether there is something to create or set.
    pub fn grants(&self) -> bool {
        !self.create.is_empty() || self.quotas.is_some_and(|change| change.sets())
    }

    /// Whether there is something to take away.
    pub fn withdrawals(&self) -> bool {
        !self.delete.is_empty() || self.quotas.is_some_and(|change| change.removed() > 0)
    }

    /// What counts against `--max-deletes`: each ACL and each quota that goes.
    pub fn deletes(&self) -> usize {
        self.delete.len() + self.quotas.map_or(0, |change| change.removed())
    }
}

/// Compares declared with existing access. Both lists of rules are sorted; what is not declared at all is left alone.
pub fn compare_access(
    rules: Option<&[AclRule]>,
    quotas: Option<&UserQuotas>,
    existing: &[AclRule],
    existing_quotas: UserQuotas,
) -> AccessChange {
    let mut change = AccessChange::default();
    if let Some(rules) = rules {
        (change.create, change.delete) = difference(rules, existing);
        order_deletions(&mut change, existing.len());
    }
    if let Some(&to) = quotas.filter(|&&to| to != existing_quotas) {
        change.quotas = Some(QuotaChange { from: existing_quotas, to });
    }
    change
}

/// Everything a principal has, to be taken away.
pub fn withdraw_all(existing: &[AclRule], existing_quotas: UserQuotas) -> AccessChange {
    let mut change = AccessChange { delete: existing.to_vec(), ..AccessChange::default() };
    order_deletions(&mut change, existing.len());
    if !existing_quotas.is_empty() {
        change.quotas = Some(QuotaChange { from: existing_quotas, to: UserQuotas::default() });
    }
    change
}

/// Every ACL a principal has, to be cut off, and those it is given back later; quotas stay.
pub fn cut_all(existing: &[AclRule], back: &[AclRule]) -> AccessChange {
    let mut change = AccessChange { create: back.to_vec(), delete: existing.to_vec(), ..AccessChange::default() };
    order_deletions(&mut change, existing.len());
    change
}

/// Rules sort denials first; for deletion they come last, so that nothing is allowed on the way that was not before.
fn order_deletions(change: &mut AccessChange, existing: usize) {
    change.delete.reverse();
    change.delete_is_whole = !change.delete.is_empty() && change.delete.len() == existing;
}

/// Merges two sorted lists: what is only wanted, and what only exists.
fn difference(wanted: &[AclRule], existing: &[AclRule]) -> (Vec<AclRule>, Vec<AclRule>) {
    let (mut create, mut delete) = (Vec::new(), Vec::new());
    let (mut left, mut right) = (wanted.iter().peekable(), existing.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(want), Some(have)) if want == have => drop((left.next(), right.next())),
            (Some(want), have) if have.is_none_or(|have| want < have) => create.extend(left.next().cloned()),
            (_, Some(_)) => delete.extend(right.next().cloned()),
            (Some(_), None) => create.extend(left.next().cloned()),
            (None, None) => return (create, delete),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Operation, PatternType, Permission, ResourceType};

    fn rule(permission: Permission, name: &str) -> AclRule {
        AclRule {
            permission,
            resource_type: ResourceType::Topic,
            pattern_type: PatternType::Literal,
            resource_name: name.into(),
            operation: Operation::Read,
            host: "*".into(),
        }
    }

    #[test]
    fn denials_are_created_first_and_deleted_last() {
        let (allow, deny) = (rule(Permission::Allow, "a"), rule(Permission::Deny, "b"));
        let mut both = vec![allow.clone(), deny.clone()];
        both.sort();
        let created = compare_access(Some(&both), None, &[], UserQuotas::default());
        assert_eq!(created.create, [deny.clone(), allow.clone()]);
        let deleted = compare_access(Some(&[]), None, &both, UserQuotas::default());
        assert_eq!(deleted.delete, [allow, deny]);
        assert!(deleted.delete_is_whole);
    }

    #[test]
    fn what_is_not_declared_is_left_alone() {
        let existing = [rule(Permission::Allow, "a")];
        let quotas = UserQuotas { producer_byte_rate: Some(1.0), ..UserQuotas::default() };
        assert!(compare_access(None, None, &existing, quotas).is_empty());
        assert_eq!(compare_access(Some(&[]), Some(&UserQuotas::default()), &existing, quotas).deletes(), 2);
    }

    #[test]
    fn equal_lists_have_no_difference() {
        let mut rules = ["c", "a", "b"].map(|name| rule(Permission::Allow, name));
        rules.sort();
        assert!(compare_access(Some(&rules), None, &rules, UserQuotas::default()).is_empty());
    }
}
