//! How the domain's values look in the OpenAPI document. `domain` knows nothing of it, so it is
//! said here, once for each kind of value.

use domain::money::TOTAL_MAX;
use domain::quantity::QUANTITY_MAX;
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type};

/// A UUID in its canonical form.
pub fn uuid() -> Object {
    text()
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .build()
}

/// A moment: RFC 3339, UTC, six decimals.
pub fn time() -> Object {
    text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

/// A UUID or `null`.
pub fn nullable_uuid() -> Object {
    or_null(uuid())
}

/// A moment or `null`.
pub fn nullable_time() -> Object {
    or_null(time())
}

/// The name of a product.
pub fn sku() -> Object {
    text()
        .pattern(Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))
        .build()
}

/// What a user may do.
pub fn role() -> Object {
    text()
        .enum_values(Some(["customer", "staff", "admin"]))
        .build()
}

/// Where an order is in its life. More will follow.
pub fn order_status() -> Object {
    text().enum_values(Some(["placed", "cancelled"])).build()
}

/// Whether an item can be ordered.
pub fn item_status() -> Object {
    text().enum_values(Some(["active", "discontinued"])).build()
}

/// Units in an order line.
pub fn quantity() -> Object {
    integer(1, QUANTITY_MAX)
}

/// An amount in minor units.
pub fn amount() -> Object {
    integer(0, TOTAL_MAX)
}

/// A whole number within these bounds; all of them fit what JSON readers hold exactly.
fn integer(minimum: i64, maximum: i64) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(minimum))
        .maximum(Some(maximum))
        .build()
}

fn or_null(mut object: Object) -> Object {
    object.schema_type = SchemaType::Array(vec![Type::String, Type::Null]);
    object
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
