//! Given events, when a command, then events or a refusal.

use cqrs_es::test::TestFramework;

use super::*;
use crate::money::{Currency, PRICE_MAX};

type OrderTest = TestFramework<Order>;

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn line(name: &str, units: i64) -> RequestedLine {
    RequestedLine {
        sku: sku(name),
        quantity: Quantity::new(units).unwrap(),
    }
}

fn terms(amount: i64, status: ItemStatus) -> Option<Terms> {
    let price = Money::price(amount, Currency::parse("EUR").unwrap()).unwrap();
    Some(Terms {
        name: Name::parse("Lamp").unwrap(),
        price,
        status,
    })
}

fn id() -> OrderId {
    OrderId(uuid::Uuid::from_u128(1))
}

fn place(lines: Vec<(RequestedLine, Option<Terms>)>) -> OrderCommand {
    let user_id = UserId(uuid::Uuid::from_u128(2));
    OrderCommand::Place {
        id: id(),
        user_id,
        lines,
        at: Time::from_microseconds(7),
    }
}

fn cancel() -> OrderCommand {
    OrderCommand::Cancel {
        reason: None,
        at: Time::from_microseconds(8),
    }
}

fn placed() -> Vec<OrderEvent> {
    let command = place(vec![(line("A", 2), terms(150, ItemStatus::Active))]);
    Order::default().decide(&command).unwrap()
}

fn cancelled() -> Vec<OrderEvent> {
    let mut order = Order::default();
    let mut events = placed();
    order.apply_event(&events[0]);
    events.extend(order.decide(&cancel()).unwrap());
    events
}

#[test]
fn an_order_takes_the_catalogues_prices() {
    let events = placed();
    let OrderEvent::OrderPlaced { lines, total, .. } = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (
            lines[0].unit_price.amount(),
            lines[0].total.amount(),
            total.amount()
        ),
        (150, 300, 300)
    );
    assert_eq!(
        movements(&events),
        [StockMovement {
            sku: sku("A"),
            quantity: -2
        }]
    );
}

#[test]
fn an_unknown_sku_is_refused() {
    OrderTest::with(())
        .given_no_previous_events()
        .when(place(vec![(line("A", 1), None)]))
        .then_expect_error(OrderRefusal::UnknownSku { sku: sku("A") });
}

#[test]
fn a_discontinued_item_is_refused() {
    OrderTest::with(())
        .given_no_previous_events()
        .when(place(vec![(
            line("A", 1),
            terms(1, ItemStatus::Discontinued),
        )]))
        .then_expect_error(OrderRefusal::Discontinued { sku: sku("A") });
}

#[test]
fn a_total_beyond_2_to_the_53_is_refused() {
    OrderTest::with(())
        .given_no_previous_events()
        .when(place(vec![(
            line("A", 1_000_000),
            terms(PRICE_MAX, ItemStatus::Active),
        )]))
        .then_expect_error(OrderRefusal::TotalTooLarge { sku: sku("A") });
}

#[test]
fn an_order_is_placed_once() {
    OrderTest::with(())
        .given(placed())
        .when(place(vec![(line("A", 1), terms(1, ItemStatus::Active))]))
        .then_expect_error(OrderRefusal::AlreadyPlaced);
}

#[test]
fn cancelling_gives_back_exactly_what_was_held() {
    let events = cancelled();
    assert_eq!(movements(&events), [], "placing and cancelling cancel out");
    assert_eq!(
        movements(&events[1..]),
        [StockMovement {
            sku: sku("A"),
            quantity: 2
        }]
    );
}

#[test]
fn a_cancelled_order_cannot_be_cancelled_again() {
    OrderTest::with(())
        .given(cancelled())
        .when(cancel())
        .then_expect_error(OrderRefusal::AlreadyCancelled);
}

#[test]
fn an_order_that_was_never_placed_is_not_found() {
    OrderTest::with(())
        .given_no_previous_events()
        .when(cancel())
        .then_expect_error(OrderRefusal::NotFound);
}

#[test]
fn lines_of_one_sku_are_added_up() {
    let sums = add_up(&[line("A", 1), line("B", 5), line("A", 2)]).unwrap();
    assert_eq!(sums, [line("A", 3), line("B", 5)]);
    assert_eq!(
        add_up(&[line("A", 1_000_000), line("A", 1)]),
        Err(LinesRefusal::Sum { index: 1 })
    );
    assert_eq!(add_up(&[]), Err(LinesRefusal::Count));
    assert_eq!(add_up(&vec![line("A", 1); 101]), Err(LinesRefusal::Count));
}

#[test]
fn the_table_says_which_steps_exist() {
    assert_eq!(
        OrderStatus::Placed.after(OrderAction::Cancel),
        Some(OrderStatus::Cancelled)
    );
    assert_eq!(OrderStatus::Cancelled.after(OrderAction::Cancel), None);
}
