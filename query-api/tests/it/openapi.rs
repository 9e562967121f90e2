use query_api::Api;
use serde_json::{Value, json};

fn document() -> Value {
    let mut document = contract::openapi::document();
    document.merge(Api::openapi());
    serde_json::to_value(document).unwrap()
}

#[test]
fn the_document_names_every_get_route_of_the_contract() {
    let document = document();
    let paths: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        paths,
        [
            "/v1/inventory",
            "/v1/inventory/{sku}",
            "/v1/inventory/{sku}/movements",
            "/v1/orders",
            "/v1/orders/{id}",
            "/v1/orders/{id}/events",
            "/v1/users",
            "/v1/users/me",
        ]
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(
                    members
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(elements) => elements
                .iter()
                .for_each(|element| references(element, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn a_member_that_may_be_null_is_still_always_there() {
    let document = document();
    let item = &document["components"]["schemas"]["Item"];
    assert!(
        item["required"]
            .as_array()
            .unwrap()
            .contains(&json!("category"))
    );
    assert_eq!(
        item["properties"]["category"]["type"],
        json!(["string", "null"])
    );
    let order = &document["components"]["schemas"]["Order"];
    assert!(
        order["required"]
            .as_array()
            .unwrap()
            .contains(&json!("cancelled_at"))
    );
    assert_eq!(
        order["properties"]["cancelled_at"]["type"],
        json!(["string", "null"])
    );
    let problem = &document["components"]["schemas"]["Problem"];
    assert_eq!(
        problem["required"],
        json!(["type", "title", "status", "detail"])
    );
    assert_eq!(
        problem["properties"]["sku"]["type"], "string",
        "absent, never null"
    );
}

#[test]
fn every_operation_that_needs_a_token_says_so() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let secured = item["get"]["security"] == json!([{"bearer": []}]);
        let refuses = item["get"]["responses"].get("401").is_some();
        assert_eq!(secured, refuses, "{path}");
    }
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
}
