"""The pages: one thin module an area. `labeler.app` registers their blueprints."""
