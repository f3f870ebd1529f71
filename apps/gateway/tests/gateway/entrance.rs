//! What every request meets first: browsers that ask beforehand, and the name of the host.

use farthing_dialects::{names, payment};
use reqwest::{Client, Method};

use crate::town::Town;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_asks_beforehand_is_answered_at_the_gateways_own_pages_too() {
    let town = Town::new().await;
    let stream = names::stream_path("x");
    for path in [names::INITIATE_PATH, names::OPEN_PATH, names::CLOSE_PATH, names::TIP_PATH, &stream, "/hello"] {
        let asked = town.http.request(Method::OPTIONS, town.url(path)).header("origin", "https://page.example");
        let asked = asked.header("access-control-request-method", "POST");
        let answer = asked.header("access-control-request-headers", "content-type").send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 204, "{path}");
        assert_eq!((header("access-control-allow-methods"), header("access-control-allow-headers")), {
            ("POST".to_owned(), "content-type".to_owned())
        });
        assert_eq!((header("access-control-allow-origin"), header("cache-control")), ("*".into(), "no-store".into()));
    }
    assert_eq!(town.seen.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_a_challenge_is_bound_to_the_authority_and_not_to_what_host_says_beside_it() {
    let town = Town::new().await;
    let http = Client::builder().http2_prior_knowledge().build().unwrap();
    let host = town.base.trim_start_matches("http://").trim_end_matches('/');
    for beside in [None, Some("elsewhere.example")] {
        let mut asked = http.get(town.url("/hello"));
        if let Some(beside) = beside {
            asked = asked.header("host", beside);
        }
        let answer = asked.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (402, reqwest::Version::HTTP_2));
        let header = answer.headers()["www-authenticate"].to_str().unwrap();
        assert_eq!(payment::Challenge::read_all(header).unwrap()[0].realm, host);
    }
    // What was quoted over one is paid over the other.
    let mut buyer = town.buyer(1, 10).await;
    let (challenge, _) = town.challenge("/hello").await;
    let coupon = buyer.coupon("GET", "/hello", b"", 1);
    let paid = http.get(town.url("/hello")).header("authorization", payment::full(&challenge, &coupon));
    assert_eq!(paid.send().await.unwrap().status(), 200);
}
