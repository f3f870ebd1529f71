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
        "description": route.description,
        "free": route.price.is_none(),
        "freeEachHour": route.free_tier,
        "requestsEachSecond": route.rate,
    });
    if let (Some(price), Some(members)) = (route.price, entry.as_object_mut()) {
        members.insert("price".into(), price.rate.price.to_string().into());
        members.insert("per".into(), price.rate.per.into());
        members.insert("unit".into(), serde_json::to_value(price.kind).unwrap_or_default());
        members.insert("max".into(), price.max.to_string().into());
        members.insert("coupons".into(), price.units(tariff.coupon).into());
    }
    entry
}

/// `GET /openapi.json`: OpenAPI 3.1 with `x-payment-info` for each priced operation, as draft
/// discovery documents have it.
pub(crate) async fn openapi(State(gate): State<Arc<Gate>>) -> Json<Value> {
    let tariff = gate.prices.now();
    let mut paths: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
    for route in &tariff.routes {
        let (path, parameters) = template(route.pattern.as_str());
        let operations = paths.entry(path).or_default();
        let methods: Vec<String> = match route.methods.is_empty() {
            true => vec!["get".into(), "post".into()],
            false => route.methods.iter().map(|method| method.to_lowercase()).collect(),
        };
        for method in methods {
            operations.entry(method).or_insert_with(|| operation(&tariff, route, &parameters));
        }
    }
    let title = if tariff.name.is_empty() { "A paid service" } else { &tariff.name };
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": title, "description": tariff.description, "version": "1" },
        "x-service-info": { "docs": { "homepage": names::CATALOGUE_PATH } },
        "paths": paths,
    }))
}

fn operation(tariff: &Tariff, route: &Route, parameters: &[String]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let mut operation = json!({
        "summary": route.description,
        "parameters": parameters,
        "responses": { "200": { "description": "what was asked for" } },
    });
    if let (Some(price), Some(members)) = (route.price, operation.as_object_mut()) {
        members.insert("x-payment-info".into(), payment_info(tariff, &price));
        if let Some(responses) = members.get_mut("responses").and_then(Value::as_object_mut) {
            responses.insert("402".into(), json!({ "description": "what it costs, and how to pay" }));
        }
    }
    operation
}

/// A price as people read it.
pub(crate) fn in_words(price: &Price) -> String {
    let plural = if price.rate.per == 1 { "" } else { "s" };
    let unit = format!("{:?}{plural}", price.kind).to_lowercase();
    format!("{} for {} {unit}", price.rate.price, price.rate.per)
}

fn payment_info(tariff: &Tariff, price: &Price) -> Value {
    // What is counted as it goes has no amount beforehand.
    let amount = (price.kind == UnitKind::Request).then(|| price.max.as_micros().to_string());
    let offers: Vec<Value> = [names::SESSION, names::CHARGE]
        .iter()
        .map(|intent| {
            json!({
                "method": names::METHOD,
                "intent": intent,
                "amount": amount,
                "currency": tariff.currency().code(),
                "description": in_words(price),
            })
        })
        .collect();
    json!({ "offers": offers })
}

/// A pattern as OpenAPI writes it, and the names in it.
fn template(pattern: &str) -> (String, Vec<String>) {
    let mut names = Vec::new();
    let mut name = |what: &str| {
        names.push(format!("{what}{}", names.len() + 1));
        names.last().map(|name| format!("{{{name}}}")).unwrap_or_default()
    };
    let segments = pattern.split('/').map(|segment| match segment {
        "*" => name("part"),
        "**" => name("rest"),
        word => word.to_owned(),
    });
    let path = segments.collect::<Vec<_>>().join("/");
    (path, names)
}
