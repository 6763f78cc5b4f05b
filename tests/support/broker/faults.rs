//! What goes wrong on demand.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use kastellan::names::BrokerId;

/// One thing that goes wrong, a number of times.
#[derive(Debug, Clone)]
pub struct Fault {
    /// With which request.
    pub api: ApiKey,
    /// On which broker; `None` for whichever is asked first.
    pub broker: Option<BrokerId>,
    /// How often.
    pub times: usize,
    /// What.
    pub kind: FaultKind,
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// It is executed only after this time.
    Delay(Duration),
    /// It is executed at once and answered after this time.
    LateAnswer(Duration),
    /// It is executed, and never answered.
    LoseAnswer,
    /// It is executed, and the connection is closed instead of an answer.
    CloseAfter,
    /// It is not executed, and never answered.
    NeverAnswer,
    /// The connection is closed, nothing is executed.
    Close,
    /// It is executed and answered, and executed once more after this time (a late copy, R1).
    ExecuteAgain(Duration),
    /// Nothing is executed; every item, or the whole request, is answered with this code.
    Refuse(i16),
    /// Nothing is executed; these bytes are the body of the answer.
    Garbage(Vec<u8>),
    /// Nothing is executed; these bytes come back, without length and correlation id.
    RawBytes(Vec<u8>),
    /// It is executed, and the answer asks for a pause.
    Throttle(i32),
}

impl Fault {
    /// Something that goes wrong once, on any broker.
    pub fn once(api: ApiKey, kind: FaultKind) -> Self {
        Self { api, broker: None, times: 1, kind }
    }
}

/// Takes the next fault for a request out of the plan.
pub(super) fn next(faults: &mut Vec<Fault>, api: i16, broker: BrokerId) -> Option<FaultKind> {
    let is_meant = |fault: &Fault| fault.api as i16 == api && fault.broker.is_none_or(|meant| meant == broker);
    let index = faults.iter().position(is_meant)?;
    let fault = &mut faults[index];
    let kind = fault.kind.clone();
    fault.times -= 1;
    if fault.times == 0 {
        faults.remove(index);
    }
    Some(kind)
}
