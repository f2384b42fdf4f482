//! `GET /`: the page. It asks only this listener, and nothing that an answer says can run in it.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

/// Scripts, styles and requests of our own, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The page itself.
pub(super) async fn index() -> Response {
    served("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// How it looks.
pub(super) async fn style() -> Response {
    served("text/css; charset=utf-8", include_str!("page/page.css"))
}

/// What it does.
pub(super) async fn script() -> Response {
    served("text/javascript; charset=utf-8", include_str!("page/page.js"))
}

/// What a tab shows.
pub(super) async fn icon() -> Response {
    served("image/svg+xml; charset=utf-8", include_str!("page/icon.svg"))
}

fn served(kind: &'static str, body: &'static str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}
