"""The application factory: it builds the site from its settings."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask

from labeler.config import Settings, load_settings
from labeler.database.engine import Database
from labeler.database.health import Health
from labeler.database.patience import FOR_PAGES
from labeler.images.converted import ConvertedPictures
from labeler.site_files import site_files
from labeler.web import (
    access,
    accounts,
    adjudication,
    agreement,
    appearance,
    audit,
    browser_cookies,
    converters,
    current_campaign,
    dashboard,
    deletion,
    errors,
    exports,
    flags,
    forwarding,
    gold,
    home,
    jobs,
    languages,
    manage_menu,
    mean_faces,
    messages,
    password_again,
    person_name,
    privacy,
    progress,
    qualification,
    quality,
    request_fields,
    returns,
    security_headers,
    verification,
    voting,
)
from labeler.web.campaigns import states as campaign_states
from labeler.web.campaigns import views as campaigns
from labeler.web.help import views as help
from labeler.web.images import browser as image_browser
from labeler.web.images import datasets
from labeler.web.images import history as image_history
from labeler.web.images import imports as image_imports
from labeler.web.people import account as person_account
from labeler.web.people import groups, person
from labeler.web.people import overview as people
from labeler.web.proposals import views as proposals
from labeler.web.studio import access as studio_access
from labeler.web.studio import clusters as studio_clusters
from labeler.web.studio import files as studio_files
from labeler.web.studio import gallery as studio_gallery
from labeler.web.studio import new as studio_new
from labeler.web.studio import results as studio_results
from labeler.web.studio import shares as studio_shares
from labeler.web.subsets import views as subsets

# Each module has its routes in `bp`. To add a page, write a module and add it here.
PAGES = (
    home,
    accounts,
    appearance,
    languages,
    voting,
    qualification,
    verification,
    progress,
    datasets,
    image_imports,
    image_browser,
    image_history,
    subsets,
    dashboard,
    quality,
    agreement,
    adjudication,
    campaigns,
    campaign_states,
    deletion,
    gold,
    proposals,
    exports,
    mean_faces,
    studio_gallery,
    studio_results,
    studio_files,
    studio_shares,
    studio_clusters,
    studio_new,
    jobs,
    people,
    person,
    person_account,
    returns,
    messages,
    flags,
    groups,
    privacy,
    audit,
    help,
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
    app.extensions["sidelight_pictures"] = ConvertedPictures(settings.home)
    converters.register(app)
    errors.register(app)
    languages.register(app)
    forwarding.register(app, settings)
    access.register(app)
    browser_cookies.register(app)
    current_campaign.register(app)
    manage_menu.register(app)
    messages.register(app)
    password_again.register(app)
    person_name.register(app)
    request_fields.register(app)
    security_headers.register(app, settings)
    studio_access.register(app)
    for page in PAGES:
        app.register_blueprint(page.bp)
    access.refuse_undeclared(app)
    return app


def _flask_config(settings: Settings) -> dict[str, object]:
    return {
        "SECRET_KEY": settings.secret_key,
        "MAX_CONTENT_LENGTH": MAX_REQUEST_BYTES,
        "SESSION_COOKIE_NAME": access.cookie_name("sidelight", settings),
        "SESSION_COOKIE_PATH": access.cookie_path(settings),
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.cookie_secure,
        "PERMANENT_SESSION_LIFETIME": timedelta(days=settings.session_days),
        # A labelling page stays open for hours, so the token is valid as long as the session.
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_CHECK_DEFAULT": False,  # `access` checks it, after it knows who the person is
    }
