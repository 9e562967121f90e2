//! What clients heard, against the valid log: S2, S3 and S5.

use std::collections::BTreeMap;

use command_api::gate::Refusal;
use record::Position;

use super::{Counts, Reading, Valid, Violation, cancels, discontinues};
use crate::books::{Answer, Attempt, Command, Made, Wish};
use crate::people;

pub(super) fn check(
    books: &[Command],
    reading: &Reading,
    looked: &mut Counts,
    broken: &mut Vec<Violation>,
) {
    let by_position = by_position(reading);
    let mut by_key: BTreeMap<&str, Vec<&Valid>> = BTreeMap::new();
    for valid in &reading.valid {
        if let Some(key) = &valid.record.body.key {
            by_key.entry(&key.key).or_default().push(valid);
        }
    }
    for command in books {
        let of_key = command.key.as_deref().and_then(|key| by_key.get(key));
        let of_key: &[&Valid] = of_key.map_or(&[], Vec::as_slice);
        if let Some(key) = &command.key {
            *looked.entry("S3".to_owned()).or_default() += 1;
            if of_key.len() > 1 {
                let places: Vec<_> = of_key.iter().map(|it| it.position.to_string()).collect();
                let what = format!("{key} has effects at {}", places.join(" and "));
                broken.push(Violation::new("S3", what));
            }
        }
        for attempt in &command.attempts {
            acknowledged(command, attempt, &by_position, looked, broken);
            refused(command, attempt, of_key, books, reading, looked, broken);
        }
        nothing_changed(command, of_key, looked, broken);
        the_same_again(command, looked, broken);
    }
}

/// S3: what was answered once is answered the same again, or it is not known now.
fn the_same_again(command: &Command, looked: &mut Counts, broken: &mut Vec<Violation>) {
    let about = format!("{} ({:?})", command.wish, command.key);
    let mut first: Option<&Attempt> = None;
    for attempt in &command.attempts {
        let answer = &attempt.answer;
        let wrong = match (first.map(|it| &it.answer), answer) {
            (_, Answer::KeyReused | Answer::Wrong(_)) => true,
            (Some(Answer::Done { made, .. }), Answer::Done { made: again, .. }) => made != again,
            // The stated limit of refusals, in both directions.
            (Some(Answer::Done { .. }), Answer::Refused(_)) => !attempt.split,
            _ => false,
        };
        if first.is_some() {
            *looked.entry("S3".to_owned()).or_default() += 1;
        }
        if wrong {
            let before = first.map_or("nothing".to_owned(), |it| it.answer.to_string());
            let what = format!("{about} was answered \"{before}\" first, then \"{answer}\"");
            broken.push(Violation::new("S3", what));
        }
        if first.is_none() && matches!(answer, Answer::Done { .. }) {
            first = Some(attempt);
        }
    }
}

/// Which record stands where, second copies included: a token may name one of those.
fn by_position(reading: &Reading) -> BTreeMap<Position, &Valid> {
    let of = |it: &Valid| (it.record.envelope.id, it.position);
    let by_id: BTreeMap<_, _> = reading.valid.iter().map(of).collect();
    let mut by_position: BTreeMap<Position, &Valid> =
        reading.valid.iter().map(|it| (it.position, it)).collect();
    for (position, id) in &reading.copies {
        if let Some(valid) = by_id.get(id).and_then(|first| by_position.get(first)) {
            by_position.insert(*position, valid);
        }
    }
    by_position
}

/// S2: a 2xx has its record where its token says.
fn acknowledged(
    command: &Command,
    attempt: &Attempt,
    by_position: &BTreeMap<Position, &Valid>,
    looked: &mut Counts,
    broken: &mut Vec<Violation>,
) {
    let Answer::Done { position, made } = &attempt.answer else {
        return;
    };
    *looked.entry("S2".to_owned()).or_default() += 1;
    let about = format!("{} ({:?})", command.wish, command.key);
    let Some(valid) = by_position.get(position) else {
        let what = format!("{about} was acknowledged at {position}, where no valid record stands");
        broken.push(Violation::new("S2", what));
        return;
    };
    let record = &valid.record;
    let key = record.body.key.as_ref().map(|key| key.key.as_str());
    if key != command.key.as_deref() {
        let what = format!("{about} was acknowledged at {position}, a record of key {key:?}");
        broken.push(Violation::new("S2", what));
    }
    let named = match made {
        Made::Item => None,
        Made::Order(order) => Some(order.to_string()),
        Made::User(user) => Some(user.to_string()),
    };
    if named.is_some_and(|named| named != record.envelope.aggregate_id) {
        let what = format!("{about} was acknowledged at {position}, a record of something else");
        broken.push(Violation::new("S2", what));
    }
    if valid.at > attempt.answered {
        let what = format!("{about} was acknowledged before its record landed at {position}");
        broken.push(Violation::new("S2", what));
    }
}

/// S5: a refusal is true of every attempt of its key, and of what it says.
fn refused(
    command: &Command,
    attempt: &Attempt,
    of_key: &[&Valid],
    books: &[Command],
    reading: &Reading,
    looked: &mut Counts,
    broken: &mut Vec<Violation>,
) {
    let Answer::Refused(refusal) = &attempt.answer else {
        return;
    };
    // The stated limit: while two masters serve, the old one does not know of the new one.
    if command.attempts.iter().any(|attempt| attempt.split) {
        return;
    }
    *looked.entry("S5".to_owned()).or_default() += 1;
    let about = format!("{} ({:?})", command.wish, command.key);
    // A "no" ends with its epoch; but nobody asked again after the last one, and what came before
    // it must not outlive it.
    let is_last = command
        .attempts
        .last()
        .is_some_and(|last| last.sent == attempt.sent);
    for valid in of_key {
        let epoch = valid.record.envelope.epoch;
        if is_last || attempt.epoch.is_some_and(|of_refusal| epoch <= of_refusal) {
            let position = valid.position;
            let what = format!("{about} was refused ({refusal:?}), but it stands at {position}");
            broken.push(Violation::new("S5", what));
        }
    }
    // A later attempt hears what the first one was told, however the world has changed since.
    let began = command.attempts.first().map_or(attempt.sent, |it| it.sent);
    let known_before = |position: &Position| {
        let done = |it: &Attempt| {
            it.answered <= began
                && matches!(&it.answer, Answer::Done { position: at, .. } if at == position)
        };
        books.iter().any(|book| book.attempts.iter().any(done))
    };
    let says = |what: String| Violation::new("S5", what);
    match (refusal, &command.wish) {
        (Refusal::NotFound, Wish::Cancel { order }) => {
            let id = order.to_string();
            let placed = reading
                .valid
                .iter()
                .find(|it| it.record.envelope.aggregate_id == id);
            if placed.is_some_and(|placed| known_before(&placed.position)) {
                broken.push(says(format!(
                    "{about}: \"not found\", but it was acknowledged"
                )));
            }
        }
        (Refusal::NotFound, wish) if people::user(wish).is_some() => {
            let id = people::user(wish).map(|user| user.to_string());
            let mut of_user = reading
                .valid
                .iter()
                .filter(|it| Some(&it.record.envelope.aggregate_id) == id.as_ref());
            if of_user.any(|it| known_before(&it.position)) {
                broken.push(says(format!(
                    "{about}: \"not found\", but it was acknowledged"
                )));
            }
        }
        (Refusal::AlreadyCancelled, Wish::Cancel { order }) => {
            let id = order.to_string();
            let mut of_order = reading
                .valid
                .iter()
                .filter(|it| it.record.envelope.aggregate_id == id);
            if !of_order.any(|it| cancels(&it.record)) {
                broken.push(says(format!(
                    "{about}: \"already cancelled\", but it is not"
                )));
            }
        }
        (Refusal::Discontinued { sku }, _) => {
            let mut of_item = reading
                .valid
                .iter()
                .filter(|it| it.record.envelope.aggregate_id == sku.as_str());
            if !of_item.any(|it| discontinues(&it.record)) {
                broken.push(says(format!("{about}: \"discontinued\", but {sku} is not")));
            }
        }
        (Refusal::UnknownSku { sku }, _) => {
            let made = reading.valid.iter().find(|it| {
                it.record.envelope.aggregate_id == sku.as_str() && it.record.envelope.version == 1
            });
            if made.is_some_and(|made| known_before(&made.position)) {
                broken.push(says(format!(
                    "{about}: {sku} unknown, but it was acknowledged"
                )));
            }
        }
        _ => {}
    }
}

/// S5: *unavailable* says that this request changed nothing.
fn nothing_changed(
    command: &Command,
    of_key: &[&Valid],
    looked: &mut Counts,
    broken: &mut Vec<Violation>,
) {
    let unavailable = |it: &Attempt| matches!(it.answer, Answer::Unavailable(_));
    if command.attempts.is_empty() || !command.attempts.iter().all(unavailable) {
        return;
    }
    *looked.entry("S5".to_owned()).or_default() += 1;
    for valid in of_key {
        let (wish, position) = (&command.wish, valid.position);
        let what = format!("{wish} was only ever \"unavailable\", but it stands at {position}");
        broken.push(Violation::new("S5", what));
    }
}
