//! Importing a catalogue over HTTP: CSV as spreadsheets write it, and NDJSON.

use domain::user::Role;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::http::{Answer, Shop};

const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";

async fn send(shop: &Shop, media_type: &str, file: impl Into<Vec<u8>>) -> Answer {
    let staff = shop.token(Role::Staff);
    let call = shop.post("/v1/inventory/import").bearer(&staff);
    call.bytes(media_type, file.into()).send().await
}

/// Line number, SKU and result of every line.
fn results(answer: &Answer) -> Vec<(u64, String, String)> {
    let result = |line: &Value| {
        let text = |member: &str| line[member].as_str().unwrap_or_default().to_owned();
        (line["line"].as_u64().unwrap(), text("sku"), text("result"))
    };
    let results = answer.json()["results"].clone();
    results.as_array().unwrap().iter().map(result).collect()
}

fn all(result: &str, lines: &[(u64, &str)]) -> Vec<(u64, String, String)> {
    let line = |(line, sku): &(u64, &str)| (*line, (*sku).to_owned(), result.to_owned());
    lines.iter().map(line).collect()
}

async fn available(shop: &Shop, sku: &str) -> i64 {
    let staff = shop.token(Role::Staff);
    let path = format!("/v1/inventory/{sku}/stock");
    let set = json!({"available": 0, "expected": 999_999_999_999_i64});
    let refused = shop.put(&path).bearer(&staff).json(&set).send().await;
    refused.problem(409, "stock-changed").json()["available"]
        .as_i64()
        .unwrap()
}

#[tokio::test]
async fn every_line_becomes_an_item_with_its_opening_stock() {
    let shop = Shop::open();
    let file =
        "sku,name,price,category,stock\nA,Lamp,1999,light,5\nB,\"Desk, \"\"oak\"\"\",100,,\n";
    let answer = send(&shop, CSV, file).await.is(200);
    assert_ne!(answer.header("consistency-token"), "");
    let line = |number: u64, sku: &str, applied: Value| {
        json!({
            "line": number, "sku": sku, "result": "created", "opening_stock_applied": applied,
            "problem": null,
        })
    };
    let results = json!([line(2, "A", json!(true)), line(3, "B", Value::Null)]);
    let expected = json!({"created": 2, "changed": 0, "failed": 0, "results": results});
    assert_eq!(answer.json(), expected);
    assert_eq!(available(&shop, "A").await, 5);
    let order = shop
        .order(&shop.token(Role::Customer), "A", 1)
        .await
        .is(201)
        .json();
    assert_eq!(order["lines"][0]["name"], "Lamp");
    assert_eq!(order["total"]["amount"], 1999);
}

#[tokio::test]
async fn a_file_means_the_same_however_a_spreadsheet_writes_it() {
    let rows = [
        "sku,name,price,category,stock",
        "A,Lamp,1999,light,5",
        "B,Desk,100,,2",
    ];
    let spellings = [
        rows.join("\n"),
        rows.join("\r\n") + "\r\n",
        format!("\u{feff}{}\n\n\r\n", rows.join("\n")),
        format!("\u{feff}{}\r\n,,,,\r\n", rows.join("\r\n")),
        "stock,price,sku,category,name\n5,1999,A,light,Lamp\n2,100,B,,Desk\n".to_owned(),
        "\"sku\",\"name\",\"price\",\"category\",\"stock\"\nA,\"Lamp\",1999,light,5\n\"B\",Desk,100,,2".to_owned(),
    ];
    for file in spellings {
        let shop = Shop::open();
        let answer = send(
            &shop,
            "Text/CSV; charset=UTF-8; header=present",
            file.clone(),
        )
        .await;
        let answer = answer.is(200);
        assert_eq!(
            results(&answer),
            all("created", &[(2, "A"), (3, "B")]),
            "{file:?}"
        );
        assert_eq!(available(&shop, "A").await, 5);
        assert_eq!(available(&shop, "B").await, 2);
    }
}

#[tokio::test]
async fn lines_are_numbered_as_an_editor_does() {
    let shop = Shop::open();
    let file = "\r\nsku,name,price\r\n\r\nA,\"two\r\n lines\",1\r\n\r\n\r\nB,Desk,1\r\nC,x,bad";
    let answer = send(&shop, CSV, file).await.is(200);
    let numbers: Vec<_> = results(&answer)
        .into_iter()
        .map(|(line, sku, _)| (line, sku))
        .collect();
    let expected = [(4, "A"), (8, "B"), (9, "C")].map(|(line, sku)| (line, sku.to_owned()));
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn a_bad_line_is_refused_alone_and_says_what_to_change() {
    let shop = Shop::open();
    let file = "sku,name,price,category,stock\n\
        A,Lamp,1999,,1\n\
        -,,-1,,1.5\n\
        C,Lamp,1000000000001,,1000001\n\
        D,Lamp,1\n\
        A,Lamp,1,,1\n\
        F,Lamp,+1,, 1\n\
        G,Lamp,1,,0\n";
    let answer = send(&shop, CSV, file).await.is(200).json();
    assert_eq!(
        (&answer["created"], &answer["failed"]),
        (&json!(2), &json!(5))
    );
    let pointers = |index: usize| {
        let errors = answer["results"][index]["problem"]["errors"]
            .as_array()
            .unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(pointers(1), ["/sku", "/name", "/price", "/stock"]);
    assert_eq!(pointers(2), ["/price", "/stock"]);
    assert_eq!(pointers(3), [""]);
    assert_eq!(pointers(4), ["/sku"]);
    assert_eq!(pointers(5), ["/price", "/stock"]);
    assert_eq!(available(&shop, "A").await, 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused_whole() {
    let shop = Shop::open();
    let utf_16: Vec<u8> = "\u{feff}sku,name,price\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let files: [(&[u8], &str); 9] = [
        (b"sku,name,price,colour\nA,Lamp,1,red\n", "colour"),
        (b"SKU,name,price\nA,Lamp,1\n", "SKU"),
        (b"sku,name\nA,Lamp\n", "price is missing"),
        (b"sku,sku,name,price\nA,A,Lamp,1\n", "twice"),
        (
            b"sku,name,price\nA,Lamp,1\nB,\"Desk,1\nC,Lamp,1\n",
            "line 3",
        ),
        (
            b"sku,name,price\nA,Lamp,1\nB,B\xFCro,1\n",
            "not UTF-8 (line 3)",
        ),
        (&utf_16, "not UTF-8"),
        (b"\n\n", "header"),
        (b"\xEF\xBB\xBF", "header"),
    ];
    for (file, says) in files {
        let refused = send(&shop, CSV, file).await.problem(422, "invalid-body");
        assert!(refused.str("detail").contains(says), "{refused:?}");
    }
    send(&shop, CSV, "").await.problem(400, "missing-body");
    send(&shop, "application/json", "{}")
        .await
        .problem(415, "unsupported-media-type");
    send(&shop, "text/csv; charset=windows-1252", "x")
        .await
        .problem(415, "unsupported-media-type");
    let large = vec![b'x'; 16 * 1024 * 1024 + 1];
    send(&shop, CSV, large).await.problem(413, "body-too-large");
    let long = format!("sku,name,price\n{}", "x\n".repeat(200_001));
    send(&shop, CSV, long).await.problem(413, "body-too-large");
    shop.order(&shop.token(Role::Staff), "A", 1)
        .await
        .problem(422, "unknown-sku");
}

#[tokio::test]
async fn sending_a_file_again_applies_its_opening_stock_once() {
    let shop = Shop::open();
    let file = "sku,name,price,stock\nA,Lamp,1999,5\nB,Desk,100,1\n";
    send(&shop, CSV, file).await.is(200);
    shop.order(&shop.token(Role::Customer), "A", 2)
        .await
        .is(201);
    let again = send(&shop, CSV, file).await.is(200);
    assert_eq!(results(&again), all("changed", &[(2, "A"), (3, "B")]));
    assert_eq!(again.json()["results"][0]["opening_stock_applied"], false);
    let more = "sku,name,price,stock\nA,Lamp 2,1999,50\n";
    send(&shop, CSV, more).await.is(200);
    assert_eq!(available(&shop, "A").await, 3);
    assert_eq!(available(&shop, "B").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_sent_twice_at_once_applies_its_opening_stock_once() {
    let shop = Shop::open();
    let rows: String = (0..50)
        .map(|index| format!("S{index},Lamp,1,3\n"))
        .collect();
    let file = format!("sku,name,price,stock\n{rows}");
    let sent = (0..4).map(|_| send(&shop, CSV, file.clone()));
    for answer in futures::future::join_all(sent).await {
        let lines = results(&answer.is(200));
        assert!(
            lines.iter().all(|(_, _, result)| result != "failed"),
            "{lines:?}"
        );
    }
    for index in 0..50 {
        assert_eq!(available(&shop, &format!("S{index}")).await, 3);
    }
}

#[tokio::test]
async fn a_key_stands_for_a_whole_file() {
    let shop = Shop::open();
    let staff = shop.token_of(domain::ids::UserId(uuid::Uuid::now_v7()), Role::Staff);
    let import = async |file: &str| {
        let call = shop.post("/v1/inventory/import").bearer(&staff).key("k");
        call.text(CSV, file).send().await.is(200)
    };
    assert!(!import("sku,name,price\nA,Lamp,1\n").await.is_replayed());
    let again = import("sku,name,price\nA,Lamp,1\n").await;
    assert!(again.is_replayed());
    assert_eq!(results(&again), all("created", &[(2, "A")]));
    let other = import("sku,name,price\nA,Lamp,2\n").await.json();
    let problem = &other["results"][0]["problem"]["type"];
    assert_eq!(problem, "/problems/idempotency-key-reused");
}

#[tokio::test]
async fn ndjson_has_one_strict_object_per_line() {
    let shop = Shop::open();
    let file = "\u{feff}{\"sku\":\"A\",\"name\":\"Lamp\",\"price\":1999,\"category\":null,\"stock\":5}\r\n\
        \r\n\
        {\"sku\":\"B\",\"name\":\"Desk\",\"price\":\"100\"}\n\
        {\"sku\":\"C\",\"name\":\"Desk\",\"price\":1,\"colour\":\"red\"}\n\
        {\"sku\":\"A\",\"name\":\"Lamp\",\"price\":1}\n\
        nonsense\n\
        {\"price\":1,\"name\":\"Desk\",\"sku\":\"D\"}";
    let answer = send(&shop, NDJSON, file).await.is(200);
    let mut expected = all(
        "failed",
        &[(1, "A"), (3, "B"), (4, "C"), (5, "A"), (6, ""), (7, "D")],
    );
    expected[0].2 = "created".to_owned();
    expected[5].2 = "created".to_owned();
    assert_eq!(results(&answer), expected);
    let results = &answer.json()["results"];
    assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/price");
    assert_eq!(results[2]["problem"]["errors"][0]["pointer"], "/colour");
    assert_eq!(available(&shop, "A").await, 5);
}

#[tokio::test]
async fn an_item_may_be_named_import() {
    let shop = Shop::open();
    shop.stock("import", 1).await;
    let token = shop.token(Role::Staff);
    shop.order(&token, "import", 1).await.is(201);
    shop.delete("/v1/inventory/import")
        .bearer(&token)
        .send()
        .await
        .is(204);
}

#[test]
fn no_file_is_answered_with_a_defect() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shop = runtime.block_on(async { Shop::open() });
    let csv =
        r#"sku,name,price(,(stock|category))?(\r?\n("?[A-C]?"?,|"x""y",|[0-9]{0,3},|,){0,5}){0,6}"#;
    let config = ProptestConfig {
        cases: 100,
        ..ProptestConfig::default()
    };
    proptest!(config, |(csv in csv, raw in proptest::collection::vec(any::<u8>(), 1..200))| {
        runtime.block_on(async {
            for (media_type, file) in [(CSV, csv.clone().into_bytes()), (CSV, raw.clone()), (NDJSON, raw)] {
                let answer = send(&shop, media_type, file).await;
                assert!([200, 422].contains(&answer.status.as_u16()), "{answer:?}");
            }
        });
    });
}
