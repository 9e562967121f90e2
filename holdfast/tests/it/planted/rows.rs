//! What was changed in the rows of the read models.

use migrations::Database;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{a_shop, audit, entries, finds, newest, place};
use crate::harness::System;

/// One change of a row, how it is taken back, and what is found.
struct Change {
    sql: String,
    back: String,
    about: String,
    since: String,
    found: &'static str,
}

/// An id in SQL.
fn literal(id: &str) -> String {
    format!("x'{}'", id.replace('-', ""))
}

fn aggregate(entry: &Value) -> &str {
    entry["record"]["aggregate"].as_str().unwrap()
}

/// A change of the figures of the lamp.
fn of_figures(entries: &[Value]) -> Vec<Change> {
    let changes = [
        (
            "UPDATE inventory SET held = held + 1",
            "UPDATE inventory SET held = held - 1",
            "The row says 5 supplied, 3 held, 0 sold; the log 5, 2, 0.",
        ),
        (
            "UPDATE inventory_movements SET quantity = quantity + 1 WHERE reason = 'received'",
            "UPDATE inventory_movements SET quantity = quantity - 1 WHERE reason = 'received'",
            "Its ledger has 4 entries that move 4, the log 4 that move 3.",
        ),
        (
            "UPDATE inventory_movements SET reason = 'recount' WHERE reason = 'received'",
            "UPDATE inventory_movements SET reason = 'received' WHERE reason = 'recount'",
            "but of some the reason",
        ),
        (
            "UPDATE inventory_movements SET happened_at = happened_at + 1",
            "UPDATE inventory_movements SET happened_at = happened_at - 1",
            "the time, the actor or the reference",
        ),
        (
            "UPDATE inventory_movements SET reference = 'x' WHERE reason = 'received'",
            "UPDATE inventory_movements SET reference = NULL WHERE reason = 'received'",
            "the time, the actor or the reference",
        ),
    ];
    let change = |(sql, back, found): (&str, &str, _)| Change {
        sql: sql.to_owned(),
        back: back.to_owned(),
        about: "sku LAMP".to_owned(),
        since: place(newest(entries, "order-cancelled")),
        found,
    };
    changes.map(change).into()
}

/// A change of what the catalogue says of the lamp.
fn of_the_catalogue(entries: &[Value]) -> Vec<Change> {
    let columns = [
        ("price = 1", "price = 1999", "1 EUR"),
        ("name = 'Desk'", "name = 'Lamp'", "\"Desk\""),
        (
            "status = 'discontinued'",
            "status = 'active'",
            "The row says discontinued",
        ),
        ("category = 'x'", "category = NULL", "category \"x\""),
        ("version = 0", "version = 2", "at version 0"),
        (
            "created_at = created_at + 1",
            "created_at = created_at - 1",
            "another time of creation",
        ),
        (
            "search = REPLACE(search, 'lamp', 'damp')",
            "search = REPLACE(search, 'damp', 'lamp')",
            "does not find it",
        ),
    ];
    let change = |(set, back, found): (&str, &str, _)| Change {
        sql: format!("UPDATE inventory SET {set}"),
        back: format!("UPDATE inventory SET {back}"),
        about: "sku LAMP".to_owned(),
        since: place(newest(entries, "stock-moved")),
        found,
    };
    columns.map(change).into()
}

/// A change of the order that lives.
fn of_an_order(entries: &[Value]) -> Vec<Change> {
    let cancelled = aggregate(newest(entries, "order-cancelled"));
    let lives = |entry: &&Value| {
        let placed = entry["record"]["body"]["events"][0]["type"] == "order-placed";
        placed && aggregate(entry) != cancelled
    };
    let live = entries.iter().find(lives).unwrap();
    let (id, other) = (aggregate(live), literal(cancelled));
    let user = &live["record"]["body"]["events"][0]["user_id"];
    let user = literal(user.as_str().unwrap());
    let lines = |from: &str, to: &str| {
        format!(r#"lines_json = REPLACE(lines_json, '"quantity":{from}', '"quantity":{to}')"#)
    };
    let history =
        |from: &str, to: &str| format!("history_json = REPLACE(history_json, '{from}', '{to}')");
    let columns = [
        (
            format!("user_id = {other}"),
            format!("user_id = {user}"),
            "The row is of user",
        ),
        (
            "version = 2".to_owned(),
            "version = 1".to_owned(),
            "at version 2, the log at version 1",
        ),
        (
            "placed_at = placed_at + 1".to_owned(),
            "placed_at = placed_at - 1".to_owned(),
            "another time of placing",
        ),
        (
            "currency = 'JPY'".to_owned(),
            "currency = 'EUR'".to_owned(),
            "lines, its currency or its history",
        ),
        (
            lines("2", "3"),
            lines("3", "2"),
            "lines, its currency or its history",
        ),
        (
            history("placed", "planned"),
            history("planned", "placed"),
            "lines, its currency or its history",
        ),
    ];
    let sql = |set: &str| format!("UPDATE orders SET {set} WHERE id = {}", literal(id));
    let change = |(set, back, found): (String, String, _)| Change {
        sql: sql(&set),
        back: sql(&back),
        about: format!("order {id}"),
        since: place(live),
        found,
    };
    let ledger = |order: &str| {
        format!("UPDATE inventory_movements SET order_id = {order} WHERE quantity = -2")
    };
    let in_the_ledger = Change {
        sql: ledger(&other),
        back: ledger(&literal(id)),
        about: "sku LAMP".to_owned(),
        since: place(newest(entries, "order-cancelled")),
        found: "but of some the reason",
    };
    let changes = columns.map(change).into_iter();
    changes.chain([in_the_ledger]).collect()
}

fn of_a_user(entries: &[Value]) -> Vec<Change> {
    let registered = newest(entries, "user-registered");
    let id = aggregate(registered);
    let key = &registered["record"]["body"]["events"][0]["key_id"];
    let key = literal(key.as_str().unwrap());
    let newest = place(newest(entries, "session-started"));
    let columns = [
        ("role = 'admin'", "role = 'customer'", &newest, "admin"),
        (
            "created_at = created_at + 1",
            "created_at = created_at - 1",
            &place(registered),
            "another time of registration",
        ),
        (
            &format!("key_id = {}", literal(id)),
            &format!("key_id = {key}"),
            &place(registered),
            "names another key",
        ),
    ];
    let sql = |set: &str| format!("UPDATE users SET {set} WHERE id = {}", literal(id));
    let change = |(set, back, since, found): (&str, &str, &String, _)| Change {
        sql: sql(set),
        back: sql(back),
        about: format!("user {id}"),
        since: since.clone(),
        found,
    };
    columns.map(change).into()
}

/// A change of whose rows they are, which the same change takes back.
fn of_the_source(_entries: &[Value]) -> Vec<Change> {
    let sql = "UPDATE log_source SET log_id = REVERSE(log_id)";
    vec![Change {
        sql: sql.to_owned(),
        back: sql.to_owned(),
        about: "the rows' source".to_owned(),
        since: String::new(),
        found: "The rows say that they are of log",
    }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_changed_in_mysql_are_found() {
    let system = System::distributed().await;
    a_shop(&system).await;
    let entries = entries(&system).await;
    let mysql = &system.services.as_ref().unwrap().mysql;
    let rows = Database::mysql(mysql, 1).unwrap();
    let kinds = [
        of_figures,
        of_the_catalogue,
        of_an_order,
        of_a_user,
        of_the_source,
    ];
    for change in kinds.iter().flat_map(|changes| changes(&entries)) {
        let Change {
            sql,
            back,
            about,
            since,
            found,
        } = change;
        rows.execute(AssertSqlSafe(sql)).await.unwrap();
        finds(audit(&system), &[["read-models", &about, &since, found]]).await;
        rows.execute(AssertSqlSafe(back)).await.unwrap();
    }
    system.agrees().await;
}
