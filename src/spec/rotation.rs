//! The grammar of rotation, for users and as a cluster's default. Nothing of it is built yet.

use super::grammar::{Choice, Field, Object, Shape, list_of};
use super::text::{ANY_TEXT, DURATION, USER_NAME};

/// What this version has instead.
pub(super) const NOT_ROTATED: &str = "this version provisions credentials and does not rotate them";

static STRATEGIES: [Choice; 3] = [Choice::now("mechanism-flip"), Choice::now("dual-user"), Choice::now("in-place")];
static CONFIRMATIONS: [Choice; 3] = [Choice::now("none"), Choice::now("rollout"), Choice::now("acknowledgement")];

/// `rotation` of a user, and of `defaults` of a cluster.
pub(super) static ROTATION: Object = Object::new(
    "When and how the credential changes.",
    &[
        Field::optional("every", "How often, e.g. `30d`.", DURATION),
        Field::optional(
            "strategy",
            "How the next credential finds a place beside the old one.",
            Shape::Choice(&STRATEGIES),
        ),
        Field::optional("overlap", "The least time for which old and new both work.", DURATION),
        Field::optional("confirm", "What must be seen before the old one goes.", Shape::Choice(&CONFIRMATIONS)),
        Field::optional("allowDowntime", "Accepts a strategy that locks clients out for a moment.", Shape::Switch),
        Field::optional("clientsReadMechanism", "Clients take `sasl.mechanism` from what is delivered.", Shape::Switch),
        Field::optional("users", "The two user names of the strategy `dual-user`.", list_of(&USER_NAME)),
        Field::optional("jitter", "Spreads rotations that are due together.", DURATION),
        Field::optional("window", "When rotations may begin.", ANY_TEXT),
        Field::optional("notBefore", "No rotation before this instant.", ANY_TEXT),
    ],
);
