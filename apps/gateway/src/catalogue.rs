//! The price list: for people, for programs that read OpenAPI, and for search.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use farthing_dialects::names;
use farthing_dialects::quote::UnitKind;
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::prices::{Price, Route, Tariff};

/// `GET /.well-known/farthing/catalogue`
pub(crate) async fn catalogue(State(gate): State<Arc<Gate>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document(&gate))
}

/// The price list as it is given out; listings name its hash.
pub(crate) fn document(gate: &Gate) -> Vec<u8> {
    let tariff = gate.prices.now();
    let routes: Vec<Value> = tariff.routes.iter().map(|route| entry(&tariff, route)).collect();
    let document = json!({
        "name": tariff.name,
        "description": tariff.description,
        "seller": gate.counter.me(),
        "network": gate.counter.network(),
        "bank": gate.counter.bank_address,
        "coupon": tariff.coupon.to_string(),
        "offer": names::OFFER_PATH,
        "dialects": ["payment", "x402-v2", "x402-v1"],
        "routes": routes,
    });
    // Strings, numbers and lists always serialize.
    serde_json::to_vec(&document).unwrap_or_default()
}

fn entry(tariff: &Tariff, route: &Route) -> Value {
    let mut entry = json!({
        "path": route.pattern.as_str(),
        "methods": route.methods,
        "free": route.price.is_none(),
        "freeEachHour": route.free_tier,
    });
    put(&mut entry, "description", route.description.clone());
    put(&mut entry, "requestsEachSecond", route.rate.map(std::num::NonZeroU32::get));
    if let Some(price) = route.price {
        put(&mut entry, "price", Some(price.rate.price.to_string()));
        put(&mut entry, "per", Some(price.rate.per));
        put(&mut entry, "unit", serde_json::to_value(price.kind).ok());
        put(&mut entry, "max", Some(price.max.to_string()));
        put(&mut entry, "coupons", price.units(tariff.coupon));
        put(&mut entry, "chargesErrors", Some(price.charge_errors));
    }
    entry
}

/// Puts a member into an object, if there is one to put: null says nothing.
fn put(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(name.into(), value.into());
    }
}

/// What a path of OpenAPI may have operations for, in its own order.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// Those that are listed where a route is for all methods.
const USUAL_METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// `GET /openapi.json`: OpenAPI 3.1 with `x-payment-info` for each priced operation, as draft
/// discovery documents have it.
pub(crate) async fn openapi(State(gate): State<Arc<Gate>>) -> Json<Value> {
    Json(described(&gate.prices.now()))
}

fn described(tariff: &Tariff) -> Value {
    let mut paths: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
    for route in &tariff.routes {
        let (path, parameters) = template(route.pattern.as_str());
        let operations = paths.entry(path).or_default();
        for method in METHODS.into_iter().filter(|method| is_for(route, method)) {
            // The first route that fits counts.
            operations.entry(method).or_insert_with(|| operation(tariff, route, &parameters));
        }
    }
    let title = if tariff.name.is_empty() { "A paid service" } else { &tariff.name };
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "description": tariff.description, "version": "1" },
        "x-service-info": { "docs": { "homepage": names::CATALOGUE_PATH } },
        "paths": paths,
    })
}

fn is_for(route: &Route, method: &str) -> bool {
    match route.methods.is_empty() {
        true => USUAL_METHODS.contains(&method),
        false => route.methods.iter().any(|known| known.eq_ignore_ascii_case(method)),
    }
}

fn operation(tariff: &Tariff, route: &Route, parameters: &[String]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let mut responses = json!({ "200": { "description": "what was asked for" } });
    let price = route.price.map(|price| payment_info(tariff, &price));
    if price.is_some() {
        put(&mut responses, "402", Some(json!({ "description": "what it costs, and how to pay" })));
    }
    let mut operation = json!({ "parameters": parameters, "responses": responses });
    put(&mut operation, "summary", route.description.clone());
    let deeper = route.pattern.as_str().strip_suffix("**");
    put(&mut operation, "description", deeper.map(|above| format!("everything below {above}, however deep")));
    put(&mut operation, "x-payment-info", price);
    operation
}

/// A price as people read it.
pub(crate) fn in_words(price: &Price) -> String {
    let plural = if price.rate.per == 1 { "" } else { "s" };
    let unit = match price.kind {
        UnitKind::Request => "request",
        UnitKind::Byte => "byte",
        UnitKind::Second => "second",
    };
    format!("{} for {} {unit}{plural}", price.rate.price, price.rate.per)
}

/// The ways to pay. `amount` is what a request costs, in millionths; what is counted as it goes has
/// none beforehand, and `maxAmount` says what is authorised at most.
fn payment_info(tariff: &Tariff, price: &Price) -> Value {
    let micros = price.max.as_micros().to_string();
    let name = if price.kind == UnitKind::Request { "amount" } else { "maxAmount" };
    let offers: Vec<Value> = [names::SESSION, names::CHARGE]
        .iter()
        .map(|intent| {
            json!({
                "method": names::METHOD,
                "intent": intent,
                name: micros,
                "currency": tariff.currency().code(),
                "description": in_words(price),
            })
        })
        .collect();
    json!({ "offers": offers })
}

/// A pattern as OpenAPI writes it, and the names in it. `**` has no form there: it is one more part,
/// and the operation says in words that it goes deeper.
/// Parts are named by their number alone, since OpenAPI takes `/{a}` and `/{b}` for the same path.
fn template(pattern: &str) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let segments = pattern.split('/').map(|segment| match segment {
        "*" | "**" => {
            let name = format!("part{}", names.len() + 1);
            let written = format!("{{{name}}}");
            names.push(name);
            written
        }
        word => word.to_owned(),
    });
    let path = segments.collect::<Vec<_>>().join("/");
    (path, names)
}

#[cfg(test)]
mod tests {
    use farthing_core::amount::Currency;

    use super::*;
    use crate::prices::parse;

    const PRICES: &str = r#"
        price = "0.0001 XTS"
        [[route]]
        path = "/free"
        free = true
        [[route]]
        path = "/tiles/*/*"
        methods = ["GET", "PURGE"]
        price = "0.0003 XTS"
        description = "a tile"
        [[route]]
        path = "/tiles/*/**"
        price = "0.0001 XTS"
        unit = "byte"
        per = 1000
        max = "0.0100 XTS"
    "#;

    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(all) => all.iter().any(has_null),
            Value::Object(all) => all.values().any(has_null),
            _ => false,
        }
    }

    #[test]
    fn the_document_is_openapi_without_nulls_and_with_each_price() {
        let tariff = parse(PRICES, Currency::XTS).unwrap();
        let document = described(&tariff);
        assert!(!has_null(&document) && !tariff.routes.iter().any(|route| has_null(&entry(&tariff, route))));
        assert!(!document.to_string().contains("xts"), "{document}");
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        let all: Vec<&str> = paths.keys().map(String::as_str).collect();
        assert_eq!(all, ["/free", "/tiles/{part1}/{part2}", "/{part1}"], "no two that are the same but for names");
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(METHODS.contains(&&method[..]), "{method}");
                assert!(operation["responses"]["200"]["description"].is_string());
                let named = operation["parameters"].as_array().unwrap();
                assert_eq!(named.len(), path.matches('{').count());
                assert!(named.iter().all(|one| path.contains(one["name"].as_str().unwrap())), "{path} {operation}");
            }
        }
        assert!(paths["/free"]["get"].get("x-payment-info").is_none());
        let offer = |path: &str, method: &str| paths[path][method]["x-payment-info"]["offers"][0].clone();
        let tile = offer("/tiles/{part1}/{part2}", "get");
        assert_eq!((&tile["amount"], &tile["currency"]), (&"300".into(), &"XTS".into()));
        assert_eq!(offer("/tiles/{part1}/{part2}", "post")["maxAmount"], "10000");
        assert_eq!(offer("/{part1}", "delete")["amount"], "100");
        assert_eq!(paths["/{part1}"]["get"]["description"], "everything below /, however deep");
        assert_eq!(paths["/tiles/{part1}/{part2}"]["post"]["description"], "everything below /tiles/*/, however deep");
        assert!(paths["/free"]["get"].get("description").is_none());
    }
}
