//! Cases against a gateway that runs elsewhere, in real time.

use std::time::Duration;

use super::language::{Action, Case, Expectation, Kind, Place, With};

/// Why a case cannot be run against a gateway elsewhere, if so.
pub fn needs(case: &Case, backends: &[String], longest: Duration) -> Option<String> {
    if case.clients.values().any(|client| client.bare) {
        return Some("has a client whose bodies are sealed for its name".to_owned());
    }
    if case.clients.values().any(|client| client.from.is_some()) {
        return Some("has a client with an address of its own".to_owned());
    }
    let mut waits = Duration::ZERO;
    for step in &case.steps {
        let why = match &step.kind {
            Kind::Action(Action::Pass(time)) => {
                waits += *time;
                None
            }
            Kind::Action(action) => of_action(action),
            Kind::Expectation(expectation) => of_expectation(expectation, backends),
            Kind::AnyOrder(all) => all.iter().find_map(|one| of_expectation(one, backends)),
            Kind::Nothing => Some("looks at what does not happen, in virtual time".to_owned()),
            Kind::Faults(_) | Kind::Metrics(_) => Some("looks at what a node counts".to_owned()),
        };
        if why.is_some() {
            return why;
        }
    }
    (waits > longest).then(|| {
        let waits = linkgate_filter::units::HumanDuration::from(waits);
        format!("takes {waits}, see --longest")
    })
}

fn of_action(action: &Action) -> Option<String> {
    let why = match action {
        Action::Connect(_, connect, _) if connect.token_for.is_some() => "has a token of its own",
        Action::Connect(..)
        | Action::Send(..)
        | Action::Disconnect(_)
        | Action::Close(..)
        | Action::Read(..)
        | Action::Pass(_) => return None,
        Action::Backend(..) => "takes a backend away",
        Action::Broker(..) | Action::Write(..) => "scripts a broker",
        Action::Store(..) => "scripts a store",
        Action::Push(_) => "pushes",
        Action::Config(..) => "changes the configuration",
        Action::Stop(_) => "stops the node",
    };
    Some(why.to_owned())
}

fn of_expectation(expectation: &Expectation, backends: &[String]) -> Option<String> {
    match &expectation.at {
        Place::Call(name) | Place::Batch(name) | Place::Reports(name) | Place::Presence(name) => {
            let is_here = backends.contains(name);
            (!is_here).then(|| format!("scripts the backend `{name}`, see --backend"))
        }
        Place::Record(_) => Some("scripts a broker".to_owned()),
        Place::Ended(_) => Some("pushes".to_owned()),
        Place::Message(_) | Place::Frame(_) | Place::Closed(_) | Place::Refused(_) => None,
    }
}

/// Whether a backend fails in it.
pub fn fails(case: &Case) -> bool {
    let fails = |one: &Expectation| matches!(one.answer.with, With::Fails(_) | With::Never);
    case.steps.iter().any(|step| match &step.kind {
        Kind::Expectation(one) => fails(one),
        Kind::AnyOrder(all) => all.iter().any(fails),
        _ => false,
    })
}
