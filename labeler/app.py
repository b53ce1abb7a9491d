"""The application factory: it builds the site from its settings."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from labeler.config import Settings, load_settings
from labeler.database.engine import Database
from labeler.database.health import Health
from labeler.database.patience import FOR_PAGES
from labeler.site_files import site_files
from labeler.web import (
    access,
    accounts,
    adjudication,
    agreement,
    campaigns,
    converters,
    dashboard,
    errors,
    exports,
    gold,
    home,
    images,
    jobs,
    mean_faces,
    people,
    progress,
    proposals,
    qualification,
    quality,
    request_fields,
    security_headers,
    verification,
    voting,
)

# Each module has its routes in `bp`. To add a page, write a module and add it here.
PAGES = (
    home,
    accounts,
    voting,
    qualification,
    verification,
    progress,
    images,
    dashboard,
    quality,
    agreement,
    adjudication,
    campaigns,
    gold,
    proposals,
    exports,
    mean_faces,
    jobs,
    people,
)
MAX_REQUEST_BYTES = 64 * 1024  # enough for a form; `accepts_uploads` marks the exceptions


def create_app(settings: Settings | None = None) -> Flask:
    """Build the site.

    Parameters:
        settings: default: read from the environment.

    Raises:
        ConfigError: a setting is wrong.
        LookupError: a view does not declare who may use it.
    """
    settings = settings or load_settings()
    app = Flask("sidelight", root_path=str(site_files()))
    app.config.from_mapping(_flask_config(settings))
    app.extensions["sidelight_settings"] = settings
    app.extensions["sidelight_db"] = Database(settings.database_url, FOR_PAGES)
    app.extensions["sidelight_health"] = Health(settings.database_url, settings.home)
    if settings.public_url:
        # With a public address the site is behind a proxy, whose headers it can trust.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    converters.register(app)
    errors.register(app)
    access.register(app)
    request_fields.register(app)
    security_headers.register(app)
    for page in PAGES:
        app.register_blueprint(page.bp)
    access.refuse_undeclared(app)
    return app


def _flask_config(settings: Settings) -> dict[str, object]:
    return {
        "SECRET_KEY": settings.secret_key,
        "MAX_CONTENT_LENGTH": MAX_REQUEST_BYTES,
        "SESSION_COOKIE_NAME": "sidelight",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.cookie_secure,
        "PERMANENT_SESSION_LIFETIME": timedelta(days=settings.session_days),
        # A labelling page stays open for hours, so the token is valid as long as the session.
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_CHECK_DEFAULT": False,  # `access` checks it, after it knows who the person is
    }
