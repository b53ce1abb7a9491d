"""Security headers of every response."""

from __future__ import annotations

from flask import Flask, Response

from labeler.config import Settings

# Inline scripts and styles are forbidden, so that injected text stays text.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer", because over https the CSRF check reads the origin of the referrer.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


HSTS = {"Strict-Transport-Security": f"max-age={365 * 86_400}"}  # other names may lack HTTPS


def register(app: Flask, settings: Settings) -> None:
    """Set the headers. Caches keep no page with a person's data.

    A site that people reach by HTTPS only tells browsers so (HSTS).
    """
    headers = {**HEADERS, "Cache-Control": "no-store", **(HSTS if settings.cookie_secure else {})}

    def harden(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    app.after_request(harden)
