//! What people and programs are shown.

use audit::{Audit, Check, Evidence, Outcome};

use crate::shop::Shop;

fn oversold() -> Shop {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 11)]));
    shop
}

#[test]
fn the_table_names_what_broke_and_how_to_mend_it() {
    let table = oversold().audit().to_string();
    assert!(table.contains("A PROMISE IS BROKEN."), "{table}");
    assert!(table.contains("sku A, since orders/0@1"), "{table}");
    assert!(
        table.contains("To mend it: Supply what is missing"),
        "{table}"
    );
    let sound = Shop::open().audit().to_string();
    assert!(
        sound.contains("Every promise that was checked holds."),
        "{sound}"
    );
    assert!(sound.contains("not checked: no gate was given"), "{sound}");
}

#[test]
fn the_json_has_every_check() {
    let json = serde_json::to_value(oversold().audit()).unwrap();
    assert_eq!(json["ok"], false);
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), Check::ALL.len());
    let stock = checks
        .iter()
        .find(|check| check["check"] == "stock")
        .unwrap();
    assert_eq!(stock["outcome"], "broken");
    assert_eq!(stock["differences"][0]["since"], "orders/0@1");
}

#[test]
fn only_so_many_differences_are_told_but_all_are_counted() {
    let mut shop = Shop::open();
    for number in 0..5 {
        shop.append(shop.cancelled(number, &[]));
    }
    let report = shop.audit_with(&Evidence {
        differences_max: 2,
        ..Evidence::default()
    });
    let lives = report.of(Check::Lives).unwrap();
    assert_eq!((lives.broken, lives.differences.len()), (5, 2));
    assert!(report.to_string().contains("… and 3 more"));
}

#[test]
fn an_empty_log_breaks_nothing() {
    let report = Audit::new().finish(&Evidence::default());
    assert!(report.ok);
    assert_eq!(report.of(Check::Stock).unwrap().outcome, Outcome::Ok);
}
