//! ACLs and quotas, by principal and cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::{Comparison, Difference, DocumentId, What, Widening};
use crate::names::{
    AclRule, ClusterName, NamespacedName, Operation, PatternType, Permission, ResourceType, UserName, UserQuotas,
};
use crate::spec::{Authentication, DeletionPolicy, Documents, KafkaUserSpec};
use crate::state;

/// How the access of one principal on one cluster differs.
struct Delta<'a> {
    principal: &'a UserName,
    /// Whether ACLs are declared at all, where that changed.
    managed: Option<bool>,
    added: Vec<AclRule>,
    removed: Vec<AclRule>,
    /// From and to, where they differ.
    quotas: Option<(Option<UserQuotas>, Option<UserQuotas>)>,
    presence: Presence,
}

/// Which side declares the principal on the cluster.
#[derive(Clone, Copy, PartialEq)]
enum Presence {
    Both,
    Newer,
    /// Its credential is what `Older` says.
    Older(Login),
}

/// Whether somebody can still log in as a principal that no document declares any more.
#[derive(Clone, Copy, PartialEq)]
enum Login {
    /// Its credential goes with it.
    Goes,
    /// Somebody else authenticates it, or its credential stays where it was.
    Stays,
}

type Declared<'a> = BTreeMap<(&'a ClusterName, &'a UserName), (&'a NamespacedName, &'a KafkaUserSpec)>;

pub(super) fn compare_access(before: &Documents, after: &Documents, comparison: &mut Comparison) {
    let (old, new) = (declared(before), declared(after));
    let mut by_document: BTreeMap<&NamespacedName, Lines> = BTreeMap::new();
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (from, to) = (old.get(key).copied(), new.get(key).copied());
        let Some((document, _)) = to.or(from) else { continue };
        if let Some(delta) = delta(key.1, from, to, after) {
            by_document.entry(document).or_default().take(delta, key.0);
        }
    }
    for (document, lines) in by_document {
        comparison.note(DocumentId::User(document.clone()), lines.finish());
    }
}

/// Who declares each principal; the documents' checks leave one.
fn declared(documents: &Documents) -> Declared<'_> {
    let users = documents.users.iter();
    users.flat_map(|(user, spec)| spec.claims().map(move |claim| (claim, (user, spec)))).collect()
}

/// `None` where nothing differs.
fn delta<'a>(
    principal: &'a UserName,
    from: Option<(&NamespacedName, &KafkaUserSpec)>,
    to: Option<(&NamespacedName, &KafkaUserSpec)>,
    after: &Documents,
) -> Option<Delta<'a>> {
    // A principal that a side does not declare has nothing there, of what the other side manages.
    type Rules<'r> = Option<&'r [AclRule]>;
    fn side(spec: &KafkaUserSpec) -> (Rules<'_>, Option<UserQuotas>) {
        (spec.authorization.as_deref(), spec.quotas)
    }
    fn nothing<'r>((rules, quotas): (Rules<'_>, Option<UserQuotas>)) -> (Rules<'r>, Option<UserQuotas>) {
        (rules.map(|_| &[][..]), quotas.map(|_| UserQuotas::default()))
    }
    let ((old_rules, old_quotas), (new_rules, new_quotas), presence) = match (from, to) {
        (None, None) => return None,
        (Some((_, from)), Some((_, to))) => (side(from), side(to), Presence::Both),
        (None, Some((_, to))) => (nothing(side(to)), side(to), Presence::Newer),
        (Some((user, from)), None) => {
            let is_gone = !after.users.contains_key(user);
            if is_gone && from.deletion_policy == DeletionPolicy::Retain {
                return None;
            }
            let login = match &from.authentication {
                Authentication::Scram(_) if is_gone => Login::Goes,
                Authentication::Scram(_) | Authentication::External => Login::Stays,
            };
            (side(from), nothing(side(from)), Presence::Older(login))
        }
    };
    let managed = (old_rules.is_some() != new_rules.is_some()).then_some(new_rules.is_some());
    let (added, removed) = match (old_rules, new_rules) {
        (old, Some(new)) => {
            let change = state::compare_access(Some(new), None, old.unwrap_or_default(), UserQuotas::default());
            (change.create, change.delete)
        }
        (_, None) => (Vec::new(), Vec::new()),
    };
    let quotas = (old_quotas != new_quotas).then_some((old_quotas, new_quotas));
    let is_same = managed.is_none() && added.is_empty() && removed.is_empty() && quotas.is_none();
    (!is_same).then_some(Delta { principal, managed, added, removed, quotas, presence })
}

/// The lines of one document; what holds on several clusters is said once.
#[derive(Default)]
struct Lines {
    /// What is about all ACLs or quotas of a principal.
    whole: Vec<(Difference, Vec<ClusterName>)>,
    rules: BTreeMap<RuleLine, Vec<ClusterName>>,
}

/// One ACL that comes or goes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct RuleLine {
    direction: Direction,
    principal: UserName,
    risk: Risk,
    rule: AclRule,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Comes,
    Goes,
}

/// Why a rule opens more than it seems to, and whether it takes something away.
type Risk = (Option<Widening>, bool);

impl Lines {
    fn take(&mut self, delta: Delta<'_>, cluster: &ClusterName) {
        let Delta { principal, managed, added, removed, quotas, presence } = delta;
        match managed {
            Some(true) => {
                self.take_whole(Difference::new(What::RulesManaged(principal.clone())).destructive(true), cluster);
            }
            Some(false) => self.take_whole(Difference::new(What::RulesUnmanaged(principal.clone())), cluster),
            None => {}
        }
        for rule in added {
            self.take_rule(Direction::Comes, principal, added_risk(&rule, principal, presence), rule, cluster);
        }
        for rule in removed {
            self.take_rule(Direction::Goes, principal, removed_risk(&rule, presence), rule, cluster);
        }
        if let Some((from, to)) = quotas {
            let what = What::Quotas { principal: principal.clone(), from, to };
            self.take_whole(Difference::new(what).destructive(removes_quotas(from, to)), cluster);
        }
    }

    fn take_whole(&mut self, line: Difference, cluster: &ClusterName) {
        match self.whole.iter_mut().find(|(known, _)| *known == line) {
            Some((_, clusters)) => clusters.push(cluster.clone()),
            None => self.whole.push((line, vec![cluster.clone()])),
        }
    }

    fn take_rule(
        &mut self,
        direction: Direction,
        principal: &UserName,
        risk: Risk,
        rule: AclRule,
        cluster: &ClusterName,
    ) {
        let line = RuleLine { direction, principal: principal.clone(), risk, rule };
        self.rules.entry(line).or_default().push(cluster.clone());
    }

    /// Rules that come or go together, on the same clusters and with the same risk, are one difference.
    fn finish(self) -> impl Iterator<Item = Difference> {
        let mut together: BTreeMap<_, Vec<AclRule>> = BTreeMap::new();
        for (RuleLine { direction, principal, risk, rule }, clusters) in self.rules {
            together.entry((direction, principal, risk, clusters)).or_default().push(rule);
        }
        let rules = together.into_iter().map(|((direction, principal, (widens, cuts), clusters), rules)| {
            let what = match direction {
                Direction::Comes => What::RulesAdded(principal, rules),
                Direction::Goes => What::RulesRemoved(principal, rules),
            };
            Difference::new(what).widens(widens).destructive(cuts).on(clusters)
        });
        self.whole.into_iter().map(|(line, clusters)| line.on(clusters)).chain(rules)
    }
}

fn removes_quotas(from: Option<UserQuotas>, to: Option<UserQuotas>) -> bool {
    match (from, to) {
        (Some(from), Some(to)) => state::QuotaChange { from, to }.removed() > 0,
        // What exists and is not declared goes.
        (None, Some(to)) => to.values().iter().any(Option::is_none),
        (_, None) => false,
    }
}

/// The user name that stands for every user (`User:*`).
fn is_everyone(principal: &UserName) -> bool {
    principal.as_str() == "*"
}

fn added_risk(rule: &AclRule, principal: &UserName, presence: Presence) -> Risk {
    match rule.permission {
        // A denial cuts off whoever is there already.
        Permission::Deny => (None, presence == Presence::Both || is_everyone(principal)),
        Permission::Allow => (widening(rule, principal), false),
    }
}

fn removed_risk(rule: &AclRule, presence: Presence) -> Risk {
    match (rule.permission, presence) {
        (Permission::Allow, _) => (None, true),
        // Nobody is left whom it denied anything.
        (Permission::Deny, Presence::Older(Login::Goes)) => (None, false),
        (Permission::Deny, Presence::Older(Login::Stays) | Presence::Both | Presence::Newer) => {
            (Some(Widening::DenialGone), false)
        }
    }
}

/// Why a rule that allows something deserves a second look: the gravest reason.
fn widening(rule: &AclRule, principal: &UserName) -> Option<Widening> {
    let administers = matches!(
        (rule.resource_type, rule.operation),
        (ResourceType::Cluster, Operation::All | Operation::Alter | Operation::AlterConfigs | Operation::ClusterAction)
    );
    if is_everyone(principal) {
        Some(Widening::Everyone)
    } else if administers {
        Some(Widening::Administration)
    } else if rule.resource_type == ResourceType::User {
        Some(Widening::Impersonation)
    } else if rule.pattern_type == PatternType::Literal && &*rule.resource_name == "*" {
        Some(Widening::EveryResource)
    } else {
        None
    }
}
