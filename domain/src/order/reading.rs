//! Orders' events, read without a detour.
//!
//! They are most of any log, and a log is read in millions. What serde derives for an enum with an
//! inner tag holds every value in memory until it knows the tag; that is most of the time that a
//! recovery takes. The tag is always written first, so here the fields are read as they come.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{OrderEvent, OrderLine};
use crate::ids::{OrderId, UserId};
use crate::money::Money;
use crate::stock::StockMovement;
use crate::text::Note;
use crate::time::Time;

const TAG: &str = "type";
const PLACED: &str = "order-placed";
const CANCELLED: &str = "order-cancelled";

#[derive(Deserialize)]
struct Placed {
    id: OrderId,
    user_id: UserId,
    lines: Vec<OrderLine>,
    total: Money,
    at: Time,
}

#[derive(Deserialize)]
struct Cancelled {
    returned: Vec<StockMovement>,
    #[serde(default)]
    reason: Option<Note>,
    at: Time,
}

#[derive(Deserialize)]
enum Tag {
    #[serde(rename = "order-placed")]
    Placed,
    #[serde(rename = "order-cancelled")]
    Cancelled,
}

struct TagFirst;

impl<'de> Visitor<'de> for TagFirst {
    type Value = OrderEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PLACED} or {CANCELLED}, its {TAG} first")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<OrderEvent, A::Error> {
        if fields.next_key::<std::borrow::Cow<'de, str>>()?.as_deref() != Some(TAG) {
            return Err(A::Error::custom("an event's type must stand first"));
        }
        let tag = fields.next_value()?;
        let fields = MapAccessDeserializer::new(fields);
        Ok(match tag {
            Tag::Placed => {
                let Placed {
                    id,
                    user_id,
                    lines,
                    total,
                    at,
                } = Placed::deserialize(fields)?;
                OrderEvent::OrderPlaced {
                    id,
                    user_id,
                    lines,
                    total,
                    at,
                }
            }
            Tag::Cancelled => {
                let Cancelled {
                    returned,
                    reason,
                    at,
                } = Cancelled::deserialize(fields)?;
                OrderEvent::OrderCancelled {
                    returned,
                    reason,
                    at,
                }
            }
        })
    }
}

impl<'de> Deserialize<'de> for OrderEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TagFirst)
    }
}
