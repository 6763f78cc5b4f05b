//! `authorization.acls` of a user.

use super::fields::Fields;
use super::grammar::{Choice, Field, Object, Shape, list_of, some_of};
use super::nearest;
use super::reader::Reader;
use super::source::Place;
use super::text::{HOST, RESOURCE_NAME};
use super::wording::{list, quoted};
use crate::diagnostic::Finding;
use crate::names::{AclRule, Operation, PatternType, Permission, ResourceType};

/// Makes the table of a closed set from the names it has in documents.
macro_rules! choices {
    ($name:ident, $type:ty) => {
        static $name: [Choice; <$type>::ALL.len()] = {
            let mut choices = [Choice::now(""); <$type>::ALL.len()];
            let mut index = 0;
            while index < choices.len() {
                choices[index] = Choice::now(<$type>::ALL[index].as_str());
                index += 1;
            }
            choices
        };
    };
}

choices!(RESOURCE_TYPES, ResourceType);
choices!(PATTERN_TYPES, PatternType);
choices!(OPERATIONS, Operation);
choices!(PERMISSIONS, Permission);

static RESOURCE: Object = Object::new(
    "What is protected.",
    &[
        Field::required("type", "Kind of resource.", Shape::Choice(&RESOURCE_TYPES)),
        Field::optional(
            "name",
            "Name of the resource, or its beginning; `*` for all; none for the cluster.",
            RESOURCE_NAME,
        ),
        Field::optional("patternType", "How `name` is meant; `literal` by default.", Shape::Choice(&PATTERN_TYPES)),
    ],
);

static ACL: Object = Object::new(
    "One rule.",
    &[
        Field::required("resource", RESOURCE.about, Shape::Object(&RESOURCE)),
        Field::required("operations", "What is allowed or denied.", some_of(&Shape::Choice(&OPERATIONS))),
        Field::optional("host", "Address the client connects from; `*` by default.", HOST),
        Field::optional("type", "`allow` (default) or `deny`.", Shape::Choice(&PERMISSIONS)),
    ],
);

/// `authorization` of a user.
pub(super) static AUTHORIZATION: Object = Object::new(
    "The user's ACLs. Without it they are not managed; `acls: []` means none.",
    &[Field::required("acls", "The rules; empty means none.", list_of(&Shape::Object(&ACL)))],
);

/// Reads the rules: one for each operation, sorted, without repetitions. Rules whose shape is wrong are left out.
pub(super) fn read(reader: &mut Reader<'_, '_>, authorization: Fields<'_, '_>) -> Vec<AclRule> {
    let mut rules = Vec::new();
    for acl in authorization.items("acls").iter().filter_map(Fields::of) {
        read_one(reader, acl, &mut rules);
    }
    rules.sort_unstable();
    rules.dedup();
    rules.shrink_to_fit();
    rules
}

fn read_one(reader: &mut Reader<'_, '_>, acl: Fields<'_, '_>, rules: &mut Vec<AclRule>) -> Option<()> {
    let resource = acl.fields("resource")?;
    let resource_type = named(ResourceType::ALL, ResourceType::as_str, resource.text("type")?)?;
    let pattern_type = match resource.text("patternType") {
        Some(text) => named(PatternType::ALL, PatternType::as_str, text)?,
        None => PatternType::Literal,
    };
    let permission = match acl.text("type") {
        Some(text) => named(Permission::ALL, Permission::as_str, text)?,
        None => Permission::Allow,
    };
    let resource_name = read_name(reader, acl, resource, resource_type, pattern_type)?;
    let resource_name = reader.interner.intern(resource_name);
    let host = reader.interner.intern(acl.text("host").unwrap_or("*"));
    for node in acl.items("operations") {
        let operation = named(Operation::ALL, Operation::as_str, node.text()?)?;
        if !resource_type.operations().contains(&operation) {
            report_senseless(reader, node.place, resource_type, operation);
        }
        let (resource_name, host) = (resource_name.clone(), host.clone());
        rules.push(AclRule { permission, resource_type, pattern_type, resource_name, operation, host });
    }
    Some(())
}

fn named<T: Copy>(all: &[T], as_str: fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|value| as_str(*value) == text)
}

fn report_senseless(reader: &mut Reader<'_, '_>, place: Place, resource_type: ResourceType, operation: Operation) {
    let names = || resource_type.operations().iter().map(|operation| operation.as_str());
    let message = format!("`{operation}` means nothing for the resource type `{resource_type}`");
    let hint = match nearest::nearest(operation.as_str(), names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("a {resource_type} knows {}", list(names())),
    };
    reader.find(place, Finding::error("senseless-operation", message).hint(hint));
}

/// The resource's name, checked against its type and pattern.
fn read_name<'n>(
    reader: &mut Reader<'_, '_>,
    acl: Fields<'n, '_>,
    resource: Fields<'n, '_>,
    resource_type: ResourceType,
    pattern_type: PatternType,
) -> Option<&'n str> {
    if resource.has("name") && resource.text("name").is_none() {
        return None;
    }
    let name = resource.text("name");
    let place = resource.place("name").or_else(|| resource.place("type")).or_else(|| acl.key_place("resource"))?;
    if resource_type == ResourceType::Cluster {
        if let Some(name) = name.filter(|name| *name != ResourceType::CLUSTER_NAME) {
            let message = format!("the resource type `cluster` takes no name, and not {}", quoted(name));
            reader.find(place, Finding::error("wrong-value", message).hint("remove `name`"));
        }
        if pattern_type == PatternType::Prefix {
            let finding = Finding::error("wrong-value", "the resource type `cluster` has no prefix");
            reader.find(resource.place("patternType").unwrap_or(place), finding.hint("remove `patternType`"));
        }
        return Some(ResourceType::CLUSTER_NAME);
    }
    let Some(name) = name else {
        let message = format!("the resource type `{resource_type}` needs a `name`");
        reader.find(place, Finding::error("missing-field", message).hint("`name: \"*\"` means every one"));
        return None;
    };
    if resource_type == ResourceType::User && name != "*" && !name.contains(':') {
        let message = format!("a resource of the type `user` is named as a principal, not {}", quoted(name));
        reader.find(place, Finding::error("wrong-value", message).hint(format!("write `User:{name}`")));
    }
    match pattern_type {
        PatternType::Literal if name.len() > 1 && name.ends_with('*') => {
            let message = format!("the name {} is meant literally, asterisk included", quoted(name));
            let prefix = name.trim_end_matches('*');
            let hint = format!("for everything that begins so, write `name: \"{prefix}\"` with `patternType: prefix`");
            reader.find(place, Finding::warning("literal-asterisk", message).hint(hint));
        }
        PatternType::Prefix if name.contains('*') => {
            let message = format!("the prefix {} means names that begin with it, asterisk included", quoted(name));
            let hint = "for every one, write `name: \"*\"` without `patternType`; for a prefix, leave the asterisk out";
            reader.find(place, Finding::warning("literal-asterisk", message).hint(hint));
        }
        PatternType::Literal | PatternType::Prefix => {}
    }
    Some(name)
}
