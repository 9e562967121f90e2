//! Why a command has no 2xx, as a problem document. The status codes are `contract`'s; here it is
//! only said which problem is meant, and what is safe: `unavailable` changed nothing,
//! `outcome-unknown` may have.

use std::time::Duration;

use contract::Problem;

use crate::commands::users::UserError;
use crate::commit::CommitError;
use crate::gate::Refusal;

/// When a client may come again after a 503. Recoveries and queues are over in less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The problem of a command on `what`, which is what a 404 says is not there.
pub(super) fn declined(what: &'static str) -> impl Fn(CommitError) -> Problem {
    move |error| match error {
        CommitError::Refused { refusal, replayed } => {
            let problem = refused(refusal, what);
            if replayed {
                problem.replayed()
            } else {
                problem
            }
        }
        CommitError::KeyReused => Problem::idempotency_key_reused(),
        CommitError::TooLarge => Problem::body_too_large(),
        CommitError::Busy => Problem::unavailable(RETRY_AFTER),
        CommitError::Unavailable(why) => {
            tracing::warn!(why, "a command was not possible: {why}");
            Problem::unavailable(RETRY_AFTER)
        }
        CommitError::OutcomeUnknown(why) => {
            tracing::warn!(why, "the outcome of a command is not known: {why}");
            Problem::outcome_unknown(RETRY_AFTER)
        }
    }
}

/// The problem of a command on a user, with what wrong credentials mean to this call.
pub(super) fn declined_user(invalid_credentials: fn() -> Problem) -> impl Fn(UserError) -> Problem {
    move |error| match error {
        UserError::InvalidCredentials => invalid_credentials(),
        UserError::Commit(error) => declined("user")(error),
    }
}

fn refused(refusal: Refusal, what: &'static str) -> Problem {
    match refusal {
        Refusal::NotFound => Problem::not_found(what),
        Refusal::OutOfStock {
            sku,
            requested,
            available,
        } => Problem::out_of_stock(sku, requested, available),
        Refusal::Discontinued { sku } => Problem::discontinued(sku),
        Refusal::UnknownSku { sku } => Problem::unknown_sku(sku, None),
        Refusal::TotalTooLarge { sku } => Problem::total_too_large(sku),
        Refusal::StockLimit { sku, .. } => Problem::stock_limit(sku),
        Refusal::StockChanged { sku, available } => Problem::stock_changed(sku, available),
        Refusal::AlreadyCancelled => Problem::already_cancelled(),
        Refusal::EmailTaken => Problem::email_taken(),
        Refusal::LastAdmin => Problem::last_admin(),
        Refusal::SessionEnded => Problem::invalid_refresh_token(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse as _;
    use contract::problem::Code;

    use super::*;

    fn code(error: CommitError) -> Code {
        declined("order")(error).code()
    }

    #[test]
    fn what_changed_nothing_is_told_from_what_may_have() {
        let why = || "why".to_owned();
        assert_eq!(code(CommitError::Busy), Code::Unavailable);
        assert_eq!(code(CommitError::Unavailable(why())), Code::Unavailable);
        assert_eq!(
            code(CommitError::OutcomeUnknown(why())),
            Code::OutcomeUnknown
        );
        assert_eq!(code(CommitError::TooLarge), Code::BodyTooLarge);
        assert_eq!(code(CommitError::KeyReused), Code::IdempotencyKeyReused);
    }

    #[test]
    fn every_503_says_when_to_come_again() {
        let why = || "why".to_owned();
        for error in [
            CommitError::Busy,
            CommitError::Unavailable(why()),
            CommitError::OutcomeUnknown(why()),
        ] {
            let response = declined("order")(error).into_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[RETRY_AFTER], "1");
        }
    }
}
