use farthing_core::amount::Currency;
use farthing_dialects::quote::UnitKind;

use super::file::parse;
use super::{Pattern, plain};

const GOOD: &str = r#"
price = "0.0010 XTS"
coupon = "0.0001 XTS"
name = "maps"

[[route]]
path = "/health"
free = true

[[route]]
path = "/tiles/*/*"
methods = ["GET"]
price = "0.000001 XTS"
per = 1000
unit = "byte"
max = "0.01 XTS"
rate = 5
free_tier = 3
"#;

#[test]
fn the_first_route_that_fits_counts() {
    let tariff = parse(GOOD, Currency::XTS).unwrap();
    let kind = |method, path| tariff.route(method, path).unwrap().1.price.map(|price| price.kind);
    assert_eq!(kind("GET", "/health"), None);
    assert_eq!(kind("GET", "/tiles/1/2"), Some(UnitKind::Byte));
    assert_eq!(kind("POST", "/tiles/1/2"), Some(UnitKind::Request));
    assert_eq!(kind("GET", "/tiles/1/2/3"), Some(UnitKind::Request));
    assert_eq!(kind("GET", "/tiles/1/"), Some(UnitKind::Request));
}

#[test]
fn a_price_file_that_makes_no_sense_is_refused_with_its_place() {
    for (bad, says) in [
        ("", "give a price"),
        ("price = \"0 XTS\"", "more than nothing"),
        ("price = \"1 USD\"", "the bank keeps XTS"),
        ("price = \"x\"", "plain decimal"),
        ("price = \"1 XTS\"\ncoupon = \"0.000001 XTS\"", "set coupon higher"),
        ("price = \"1 XTS\"\n[[route]]\npath = \"a\"\nfree = true", "begins with /"),
        ("price = \"1 XTS\"\n[[route]]\npath = \"/a\"", "and not both"),
        ("price = \"1 XTS\"\n[[route]]\npath = \"/a\"\nprice = \"1 XTS\"\nfree = true", "and not both"),
        ("price = \"1 XTS\"\n[[route]]\npath = \"/a\"\nprice = \"1 XTS\"\nunit = \"byte\"", "need a max"),
        ("price = \"1 XTS\"\n[[route]]\npath = \"/a\"\nprice = \"1 XTS\"\nmethods = [\"get\"]", "capitals"),
        ("price = \"1 XTS\"\ncolour = 1", "unknown field"),
        ("price = \"1 XTS\"\n[[route]]\npath = \"/a\"\nfree = true\ncharge_errors = true", "charges for no answer"),
        ("[[route]]\npath = \"/**\"\nfree = true", "nothing costs anything"),
    ] {
        let why = parse(bad, Currency::XTS).unwrap_err().to_string();
        assert!(why.contains(says), "{bad}: {why}");
    }
}

#[test]
fn errors_of_the_service_cost_something_only_where_the_file_says_so() {
    let routes =
        "[[route]]\npath = \"/a\"\nprice = \"1 XTS\"\n[[route]]\npath = \"/b\"\nprice = \"1 XTS\"\ncharge_errors = ";
    let charged = |text: &str| {
        let tariff = parse(text, Currency::XTS).unwrap();
        let of = |path| tariff.route("GET", path).unwrap().1.price.unwrap().charge_errors;
        ([of("/a"), of("/b"), of("/c")], tariff.charging())
    };
    let (which, told) = charged(&format!("price = \"1 XTS\"\n{routes}false"));
    assert_eq!((which, &told[..]), ([false; 3], "an answer of 4xx or 5xx costs nothing"));
    let (which, told) = charged(&format!("price = \"1 XTS\"\n{routes}true"));
    assert_eq!((which, told.ends_with("4xx only at /b")), ([false, true, false], true));
    let (which, _) = charged(&format!("charge_errors = true\nprice = \"1 XTS\"\n{routes}false"));
    assert_eq!(which, [true, false, true]);
}

#[test]
fn a_path_that_could_mean_another_is_refused() {
    let long_way = ["/free/../paid", "/free/./x", "/free/%2e%2e/paid", "/a%2fb", "/a\\b", "/%00", "/%zz", "/%", "x"];
    for bad in long_way {
        assert!(plain(bad).is_err(), "{bad}");
    }
    assert!(plain("/free/..;/paid").is_err());
    assert_eq!(plain("//paid///x").unwrap(), "/paid/x");
    assert_eq!(plain("/p%61id").unwrap(), "/paid");
    assert_eq!(plain("/caf%C3%A9").unwrap(), "/café");
}

#[test]
fn patterns_match_whole_segments() {
    let fits = |pattern: &str, path: &str| Pattern::new(pattern).unwrap().fits(path);
    assert!(fits("/a/**", "/a/b/c") && fits("/a/**", "/a/") && !fits("/a/**", "/ab"));
    assert!(fits("/", "/") && !fits("/", "/a") && fits("/**", "/"));
    for bad in ["a", "/a*", "/**/a", "/a//b", "/../a"] {
        assert_eq!(Pattern::new(bad), None, "{bad}");
    }
}
