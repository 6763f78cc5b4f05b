//! `kastellan policy`.

use std::fmt::Write as _;

use super::arguments::{FileArguments, PolicyArguments, PolicyCommand, PurposeArgument, VaultPurposeArgument};
use super::{documents, output};
use crate::diagnostic::ExitStatus;
use crate::kafka::{Purpose, explained_rights};
use crate::names::StoreName;
use crate::spec::{AdminAuthentication, AdminSpec, CredentialStoreSpec, Documents, StoreBackend, VaultStoreSpec};
use crate::vault::{self, KvPath};

pub(super) fn run(arguments: PolicyArguments) -> ExitStatus {
    match arguments.command {
        PolicyCommand::Kafka { purpose, files } => kafka(purpose, &files),
        PolicyCommand::Vault { purpose, store, files } => {
            vault(purpose, store.as_ref(), &files).unwrap_or_else(|status| status)
        }
        PolicyCommand::Kubernetes(arguments) => super::kubernetes_policy::run(&arguments),
    }
}

fn vault(
    purpose: VaultPurposeArgument,
    named: Option<&StoreName>,
    files: &FileArguments,
) -> Result<ExitStatus, ExitStatus> {
    let documents = documents::read(files)?;
    let (spec, vault) = pick_vault(&documents, named)?;
    let purpose = match purpose {
        VaultPurposeArgument::Plan => vault::Purpose::Planning,
        VaultPurposeArgument::Apply => vault::Purpose::Applying,
        VaultPurposeArgument::Import => vault::Purpose::Importing,
    };
    if purpose == vault::Purpose::Importing && spec.inputs.is_empty() {
        let hint =
            "list the folder of the passwords in `spec.inputs` of the store, e.g. `inputs: [imports/]`".to_owned();
        output::error("the store has no `inputs`, and so nothing to import", Some(&hint));
        return Err(ExitStatus::Failed);
    }
    let prefix = vault.path_prefix.as_ref().map(|prefix| prefix.segments()).unwrap_or_default();
    let inputs: Vec<KvPath> = spec.inputs.iter().map(|input| KvPath::of(input.segments())).collect();
    Ok(output::data(&vault::policy(purpose, vault.mount.segments(), prefix, &inputs)))
}

/// One policy is one file, so it is about one store.
fn pick_vault<'d>(
    documents: &'d Documents,
    named: Option<&StoreName>,
) -> Result<(&'d CredentialStoreSpec, &'d VaultStoreSpec), ExitStatus> {
    let in_vault = documents.stores.iter().filter_map(|(name, spec)| match &spec.backend {
        StoreBackend::Vault(vault) => Some((name, spec, vault)),
        StoreBackend::Age(_) => None,
    });
    let known: Vec<_> = in_vault.filter(|(name, ..)| named.is_none_or(|named| named == *name)).collect();
    let (message, hint) = match (known.as_slice(), named) {
        ([(_, spec, vault)], _) => return Ok((spec, vault)),
        (_, Some(named)) => (format!("no document declares store `{named}` in Vault"), None),
        ([], None) => ("no document declares a store in Vault".to_owned(), None),
        (_, None) => ("there is more than one store in Vault".to_owned(), Some("name it with `--store`".to_owned())),
    };
    output::error(&message, hint.as_ref());
    Err(ExitStatus::Failed)
}

fn kafka(purpose: PurposeArgument, files: &FileArguments) -> ExitStatus {
    let documents = match documents::read(files) {
        Ok(documents) => documents,
        Err(status) => return status,
    };
    let purpose = match purpose {
        PurposeArgument::Plan => Purpose::Planning,
        PurposeArgument::Apply => Purpose::Applying,
    };
    let texts = documents.clusters.iter().map(|(name, cluster)| grant(name.as_str(), &cluster.admin, purpose));
    output::data(&texts.collect::<Vec<_>>().join("\n"))
}

/// What an administrator runs to give Kastellan's own user its rights on one cluster: a piece of a shell script.
fn grant(cluster: &str, admin: &AdminSpec, purpose: Purpose) -> String {
    let can = match purpose {
        Purpose::Planning => "plan, and change nothing",
        Purpose::Applying => "plan and apply",
    };
    let mut text = format!("# Cluster `{cluster}`: lets Kastellan {can}.\n");
    for (operation, needed_for) in explained_rights(purpose) {
        let _ = writeln!(text, "#   {:<15}  {needed_for}", operation.as_str());
    }
    let protocol = match (&admin.authentication, &admin.tls) {
        (Some(AdminAuthentication::Tls { .. }), _) | (None, Some(_)) => "SSL",
        (Some(AdminAuthentication::Scram { .. } | AdminAuthentication::Plain { .. }), Some(_)) => "SASL_SSL",
        (Some(AdminAuthentication::Scram { .. } | AdminAuthentication::Plain { .. }), None) => "SASL_PLAINTEXT",
        (None, None) => "PLAINTEXT",
    };
    let _ = writeln!(
        text,
        "# An administrator's own login belongs into admin.properties, with security.protocol={protocol}."
    );
    let principal = match &admin.authentication {
        Some(AdminAuthentication::Scram { username, .. } | AdminAuthentication::Plain { username, .. }) => {
            quoted(&format!("User:{username}"))
        }
        // What brokers make of a certificate's subject is their `ssl.principal.mapping.rules`.
        Some(AdminAuthentication::Tls { .. }) => {
            text.push_str(
                "# Set PRINCIPAL to what the brokers call Kastellan's certificate: User:CN=… unless they map it.\n",
            );
            "\"${PRINCIPAL:?}\"".to_owned()
        }
        None => quoted("User:ANONYMOUS"),
    };
    let operations = explained_rights(purpose).map(|(operation, _)| format!(" --operation {operation}"));
    let operations = operations.collect::<String>();
    let _ = writeln!(
        text,
        "kafka-acls.sh --bootstrap-server {} --command-config admin.properties --add \\\n    --allow-principal {principal} --cluster{operations}",
        quoted(&admin.bootstrap_servers.to_string()),
    );
    text
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
