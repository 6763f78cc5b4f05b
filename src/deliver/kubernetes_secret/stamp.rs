//! What a Secret says of itself in its annotations, and whose it is by that.

use std::collections::BTreeMap;

use super::SecretError;
use crate::deliver::DeliveryError;
use crate::k8s::{Keeper, SecretMeta};
use crate::names::{Generation, NamespacedName, RotationId};
use crate::render::Stamp;
use crate::spec::SecretPlace;

const USER: &str = "kastellan.io/user";
const GENERATION: &str = "kastellan.io/generation";
const ROTATION: &str = "kastellan.io/rotation";
const INPUTS: &str = "kastellan.io/inputs";

/// The label that tells people and tools who made it.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub(super) const MANAGER: &str = "kastellan";

/// Whose a Secret is.
#[derive(Debug)]
pub(super) enum Ours {
    /// It is this user's, and not newer than what the record knows.
    Stamped,
    /// It is nobody's of ours; with who has it, as far as it tells.
    Not(Option<Keeper>),
}

/// Our annotations of a delivery.
pub(super) fn annotations(
    user: &NamespacedName,
    (generation, rotation_id): &(Generation, RotationId),
    digest: &str,
) -> BTreeMap<String, String> {
    let texts = [
        (USER, user.to_string()),
        (GENERATION, generation.to_string()),
        (ROTATION, rotation_id.to_string()),
        (INPUTS, digest.to_owned()),
    ];
    texts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The stamp of a Secret; `None` for one that is not ours.
pub(super) fn read(annotations: &BTreeMap<String, String>) -> Option<Stamp> {
    Some(Stamp {
        user: annotations.get(USER)?.parse().ok()?,
        generation: Generation(annotations.get(GENERATION)?.parse().ok()?),
        rotation_id: RotationId::parse(annotations.get(ROTATION)?).ok()?,
    })
}

/// Tells whose a Secret is.
///
/// # Errors
/// It is another user's, or newer than `newest` (R4): neither can be adopted.
pub(super) fn judge(
    place: &SecretPlace,
    user: &NamespacedName,
    newest: Generation,
    meta: &SecretMeta,
) -> Result<Ours, DeliveryError> {
    let Some(stamp) = read(&meta.annotations) else { return Ok(Ours::Not(meta.keeper())) };
    // Its owner makes it what the owner wants, and takes it along when it goes, whatever is annotated.
    if meta.controller.is_some() {
        return Ok(Ours::Not(meta.keeper()));
    }
    if stamp.user != *user {
        return Err(SecretError::OfOtherUser { place: place.clone(), user: stamp.user }.into());
    }
    if stamp.generation > newest {
        return Err(DeliveryError::Newer { target: place.to_string(), found: stamp.generation, ours: newest });
    }
    Ok(Ours::Stamped)
}
