//! Accounts: an address belongs to one user, to whom it was said so, and to nobody who was told
//! otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use command_api::commands::users::email_claim;
use command_api::gate::{Look, Looked, Refusal};
use domain::user::UserEvent;
use record::Events;

use super::{Counts, Reading, Violation};
use crate::books::{Answer, Attempt, Command, Made, Wish};
use crate::gate::server::Server;
use crate::people;
use crate::site::Running;

/// An address, who has it and since when.
type Owners = BTreeMap<String, (String, Duration)>;

pub(super) fn check(
    running: &Running,
    books: &[Command],
    reading: &Reading,
    looked: &mut Counts,
    broken: &mut Vec<Violation>,
) -> Result<()> {
    let owners = owners(reading, broken);
    *looked.entry("unique".to_owned()).or_default() += owners.len() as u64;
    let mut wanted = BTreeMap::new();
    for command in books {
        if let Wish::Register { address } | Wish::LogIn { address } = command.wish {
            let claim = email_claim(&running.site.secrets.email_hash(&people::email(address)?));
            for attempt in &command.attempts {
                *looked.entry("unique".to_owned()).or_default() += 1;
                judge(command, attempt, owners.get(&claim), broken);
            }
            logged_in(command, address, books, broken);
            wanted.insert(claim, address);
        }
    }
    claims(running, &wanted, &owners, broken);
    Ok(())
}

/// Who registered with which address; of two, the first one to land.
fn owners(reading: &Reading, broken: &mut Vec<Violation>) -> Owners {
    let mut owners = Owners::new();
    for valid in &reading.valid {
        let Events::Users(events) = &valid.record.body.events else {
            continue;
        };
        for event in events {
            let UserEvent::UserRegistered { email_hash, .. } = event else {
                continue;
            };
            let (claim, id) = (email_claim(email_hash), &valid.record.envelope.aggregate_id);
            let first = owners
                .entry(claim)
                .or_insert_with(|| (id.clone(), valid.at));
            if first.0 != *id {
                let (position, other) = (valid.position, &first.0);
                let what = format!("{id} registers at {position} with the address of {other}");
                broken.push(Violation::new("unique", what));
            }
        }
    }
    owners
}

/// Who is told to have an address has it, and who is told that it is taken hears it of somebody.
fn judge(
    command: &Command,
    attempt: &Attempt,
    owner: Option<&(String, Duration)>,
    broken: &mut Vec<Violation>,
) {
    let about = format!("{} ({:?})", command.wish, command.key);
    match &attempt.answer {
        Answer::Done {
            made: Made::User(user),
            ..
        } if owner.is_none_or(|(owner, _)| *owner != user.to_string()) => {
            let what = format!("{about} is done by {user}, but the address is {owner:?}'s");
            broken.push(Violation::new("unique", what));
        }
        Answer::Refused(Refusal::EmailTaken)
            if !attempt.split && owner.is_none_or(|(_, since)| *since > attempt.answered) =>
        {
            let what = format!("{about}: \"e-mail taken\", but nobody had registered with it");
            broken.push(Violation::new("S5", what));
        }
        _ => {}
    }
}

/// S5: whoever was told to be registered can log in.
fn logged_in(command: &Command, address: usize, books: &[Command], broken: &mut Vec<Violation>) {
    let registers =
        |it: &&Command| matches!(it.wish, Wish::Register { address: of } if of == address);
    for attempt in &command.attempts {
        if attempt.answer != Answer::InvalidCredentials || attempt.split {
            continue;
        }
        let known =
            |it: &Attempt| matches!(it.answer, Answer::Done { .. }) && it.answered <= attempt.sent;
        if books
            .iter()
            .filter(registers)
            .any(|it| it.attempts.iter().any(known))
        {
            let what = format!(
                "{}: \"invalid credentials\", but it was registered",
                command.wish
            );
            broken.push(Violation::new("S5", what));
        }
    }
}

/// S4: the claims in the gate are those of the log; none is held for nobody.
fn claims(
    running: &Running,
    wanted: &BTreeMap<String, usize>,
    owners: &Owners,
    broken: &mut Vec<Violation>,
) {
    let servers = running.cluster().servers.lock();
    let Some((_, data)) = Server::open_of(&*servers) else {
        return;
    };
    for (claim, address) in wanted {
        let found = match data.load(&[Look::Claimed(claim.clone())]) {
            Ok(reply) => match reply.answers.into_iter().next() {
                Some(Looked::Aggregate(found)) => Some(found.id.to_string()),
                _ => None,
            },
            Err(error) => Some(error.to_string()),
        };
        let owner = owners.get(claim).map(|(owner, _)| owner.clone());
        if found != owner {
            let what = format!("person-{address} is {owner:?} in the log, {found:?} in the gate");
            broken.push(Violation::new("S4", what));
        }
    }
}
