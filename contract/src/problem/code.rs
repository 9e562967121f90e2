//! The codes of problems: part of the contract, and the only place that knows error status codes.

use axum::http::StatusCode;

/// Declares the codes, so that name, status and title stand in one line each.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// Every way in which a request can end that is not a success.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// All codes, for documentation and tests.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The code as it ends the problem's `type`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// A short summary, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or not what its content type says.
    MalformedBody = "malformed-body", BAD_REQUEST, "The body cannot be read";
    /// There is no body, but one is needed.
    MissingBody = "missing-body", BAD_REQUEST, "The body is missing";
    /// A query parameter is unknown, repeated or has no good value.
    MalformedParameter = "malformed-parameter", BAD_REQUEST, "A parameter is wrong";
    /// A header is repeated or has no good value.
    MalformedHeader = "malformed-header", BAD_REQUEST, "A header is wrong";
    /// The cursor is not one of this query.
    MalformedCursor = "malformed-cursor", BAD_REQUEST, "The cursor does not belong to this query";
    /// The consistency token is not one of this shop's log.
    ForeignConsistencyToken = "foreign-consistency-token", BAD_REQUEST,
        "The consistency token was not issued here";
    /// This write needs an idempotency key.
    IdempotencyKeyMissing = "idempotency-key-missing", BAD_REQUEST,
        "The Idempotency-Key is missing";
    /// There is no good access token.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid access token is needed";
    /// E-mail or password is wrong.
    InvalidCredentials = "invalid-credentials", UNAUTHORIZED, "E-mail or password is wrong";
    /// The refresh token is not good any more.
    InvalidRefreshToken = "invalid-refresh-token", UNAUTHORIZED,
        "The refresh token is not valid";
    /// The role does not allow it.
    Forbidden = "forbidden", FORBIDDEN, "This is not allowed";
    /// There is nothing of this name, or nothing that the actor may see.
    NotFound = "not-found", NOT_FOUND, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The method is not allowed";
    /// The address has an account.
    EmailTaken = "email-taken", CONFLICT, "The e-mail address has an account";
    /// The shop would be left without an administrator.
    LastAdmin = "last-admin", CONFLICT, "The last administrator stays one";
    /// There are fewer units than asked for.
    OutOfStock = "out-of-stock", CONFLICT, "Out of stock";
    /// The stock is not what the caller expected.
    StockChanged = "stock-changed", CONFLICT, "The stock has changed";
    /// More would be supplied than can be counted.
    StockLimit = "stock-limit", CONFLICT, "The stock limit is reached";
    /// The item takes no new orders.
    Discontinued = "discontinued", CONFLICT, "The item is discontinued";
    /// The order is over.
    AlreadyCancelled = "already-cancelled", CONFLICT, "The order is already cancelled";
    /// The body is longer than allowed.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body's media type or encoding is not taken.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE,
        "The media type is not supported";
    /// The body can be read, but says something that is not allowed.
    InvalidBody = "invalid-body", UNPROCESSABLE_ENTITY, "The body is not valid";
    /// A line names a SKU that is not in the catalogue.
    UnknownSku = "unknown-sku", UNPROCESSABLE_ENTITY, "The SKU is unknown";
    /// An amount would be beyond 2^53 − 1.
    TotalTooLarge = "total-too-large", UNPROCESSABLE_ENTITY, "The total is too large";
    /// The key stands for another request.
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY,
        "The Idempotency-Key was used for another request";
    /// Too many failed attempts.
    TooManyAttempts = "too-many-attempts", TOO_MANY_REQUESTS, "Too many attempts";
    /// A defect of this program.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong here";
    /// Nothing was changed and nothing could be answered.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Unavailable for the moment";
    /// The write may or may not have happened.
    OutcomeUnknown = "outcome-unknown", SERVICE_UNAVAILABLE, "The outcome is not known yet";
    /// A part of this role is not ready.
    NotReady = "not-ready", SERVICE_UNAVAILABLE, "Not ready";
    /// The read model has not seen the write yet.
    NotYetConsistent = "not-yet-consistent", SERVICE_UNAVAILABLE, "Not up to date yet";
}
