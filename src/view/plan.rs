//! The picture of a plan.

use std::collections::BTreeMap;

use super::action::{ActionView, Change};
use super::actions::actions;
use super::scene::Scene;
use crate::diagnostic::Findings;
use crate::names::{NamespacedName, UserName};
use crate::plan::{Options, Plan};
use crate::state::{Desired, Observed};

/// The picture of a plan: what would change, and what would not and why. Holds no secret.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// `kastellan.io/plan/v1alpha1`.
    pub schema: &'static str,
    /// The scope of the documents.
    pub scope: String,
    /// Clusters of the documents, sorted.
    pub clusters: Vec<String>,
    /// Stores that users refer to, sorted.
    pub stores: Vec<String>,
    /// What a person asked for by name; absent: the pass is about everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedView>,
    /// Users the documents declare.
    pub declared: usize,
    /// Users that are exactly as declared.
    pub in_step: usize,
    /// Users with something to do, sorted.
    pub users: Vec<UserView>,
    /// What is not done, and why.
    pub reports: Vec<ReportView>,
    /// Warnings about the documents, as `validate` finds them, e.g. `other-operator`; sorted by place. Empty for a plan that was
    /// saved: it was shown with them.
    pub warnings: Findings,
    /// Why the plan as a whole may not be applied; empty when it may.
    pub refusals: Vec<ReportView>,
    /// Counts.
    pub summary: Summary,
    /// SHA-256 over what would be done and from which state, in hex: equal for two plans that do the same.
    pub digest: String,
}

/// What a person asked for by name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedView {
    /// `rotate`, `acknowledge`, `abort`, `revoke` or `recover`.
    pub what: &'static str,
    /// Of how many users.
    pub users: usize,
}

/// What would be done for one user.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Its document.
    pub user: NamespacedName,
    /// Its name in Kafka.
    pub username: UserName,
    /// In the order they are read, not executed.
    pub actions: Vec<ActionView>,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportView {
    /// `waiting`, `blocked`, `underWay`, `undeclared`, `suspended` or `refused`.
    pub kind: &'static str,
    /// The same for people.
    #[serde(skip)]
    pub heading: &'static str,
    /// Whom it is about; absent: the pass as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<NamespacedName>,
    /// What is said.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Counts of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Lines that add.
    pub add: usize,
    /// Lines that change.
    pub change: usize,
    /// Lines that remove.
    pub remove: usize,
    /// Lines that are destructive.
    pub destructive: usize,
    /// Users, ACLs and quotas that go.
    pub deletes: usize,
    /// The most that may go.
    pub max_deletes: usize,
}

impl PlanView {
    /// Draws a plan.
    pub fn new(plan: &Plan, desired: &Desired, observed: &Observed, options: &Options) -> Self {
        let at = plan.at;
        let users = plan.users.iter().map(|(user, plan)| UserView {
            user: user.clone(),
            username: plan.username.clone(),
            actions: actions(&Scene::new(plan, desired, observed, options, at)),
        });
        let users = users.collect::<Vec<_>>();
        let reports = plan.reports.iter().map(|report| ReportView {
            kind: report.what.code(),
            heading: report.what.heading(),
            user: report.user.clone(),
            text: report.what.to_string(),
            hint: report.what.hint(),
        });
        let refusals = plan.refusals.iter().map(|refusal| ReportView {
            kind: "refused",
            heading: "refused",
            user: None,
            text: refusal.to_string(),
            hint: Some(refusal.hint()),
        });
        let mut view = Self {
            schema: "kastellan.io/plan/v1alpha1",
            scope: desired.scope.to_string(),
            clusters: desired.clusters.keys().map(ToString::to_string).collect(),
            stores: desired.stores().into_iter().map(ToString::to_string).collect(),
            asked: options
                .asked
                .as_ref()
                .map(|asked| AskedView { what: asked.what.as_str(), users: asked.users.len() }),
            declared: plan.declared,
            in_step: plan.in_step,
            summary: summarise(&users, plan),
            users,
            reports: reports.collect(),
            warnings: Findings::default(),
            refusals: refusals.collect(),
            digest: String::new(),
        };
        view.digest = view.digest_with(plan);
        view
    }

    /// The same with the warnings about the documents it was made for. They are no part of the digest.
    #[must_use]
    pub fn warning(self, warnings: Findings) -> Self {
        Self { warnings, ..self }
    }

    /// The digest covers what would be done and the version of each record it starts from.
    fn digest_with(&self, plan: &Plan) -> String {
        let versions = plan
            .users
            .iter()
            .map(|(user, plan)| (user.to_string(), plan.record.as_ref().map(|record| record.version.0.clone())));
        let versions = versions.collect::<BTreeMap<_, _>>();
        let users = self.users.iter().map(|user| {
            let timeless = |action: &ActionView| ActionView { outlook: None, ..action.clone() };
            (&user.user, &user.username, user.actions.iter().map(timeless).collect::<Vec<_>>())
        });
        let users = users.collect::<Vec<_>>();
        let text = serde_json::to_vec(&(&self.scope, users, &self.refusals, versions))
            .expect("a plan is made of texts and numbers");
        let digest = ring::digest::digest(&ring::digest::SHA256, &text);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn summarise(users: &[UserView], plan: &Plan) -> Summary {
    let mut summary = Summary { deletes: plan.deletes, max_deletes: plan.max_deletes, ..Summary::default() };
    for action in users.iter().flat_map(|user| &user.actions) {
        match action.change {
            Change::Add => summary.add += 1,
            Change::Change => summary.change += 1,
            Change::Remove => summary.remove += 1,
        }
        summary.destructive += usize::from(action.destructive);
    }
    summary
}
