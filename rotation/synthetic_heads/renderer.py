"""The renderer: from heads to anti-aliased images, by surfaces, camera, paint and light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rotation.synthetic_heads import body, light, paint
from rotation.synthetic_heads.camera import (
    CROP_SCALE,
    View,
    place,
    project,
    rotation_matrix,
    square_view,
    turn,
)
from rotation.synthetic_heads.fields import Floats, Ints, ramp
from rotation.synthetic_heads.parameters import Head
from rotation.synthetic_heads.raster import Coverage, rasterise
from rotation.synthetic_heads.shape import COLUMNS, ROWS, Surface, grid_triangles, head_surface

SUPERSAMPLING = 2
HEAD, EAR, CURTAIN, GLASSES, NECK, TORSO = range(6)


@dataclass(frozen=True, slots=True)
class _Mesh:
    base: Floats
    points: Floats
    normals: Floats
    triangles: Ints
    part: NDArray[np.intp]
    two_sided: NDArray[np.bool_]


def render(heads: Sequence[Head], size: int = 64) -> NDArray[np.uint8]:
    """Render images (N, size, size, 3), sRGB uint8; each depends on its own head alone."""
    return render_view(heads, square_view(size))


def render_view(heads: Sequence[Head], view: View) -> NDArray[np.uint8]:
    """Render images (N, height, width, 3) of another view, such as ``camera.CELEBA_VIEW``."""
    out = np.empty((len(heads), view.height, view.width, 3), np.uint8)
    for picture, head in zip(out, heads, strict=True):
        picture[:] = _render_one(head, view)
    return out


def visible_triangles(head: Head, view: View) -> NDArray[np.intp]:
    """The number of the triangle that each pixel (height, width) shows; -1: the background.

    A person's triangles have the same numbers in every scene, whatever the yaw. So two pictures
    tell which part of the surface both of them show.
    """
    mesh = _assemble(head)
    seen = rasterise(
        project(mesh.points, view), mesh.triangles, mesh.two_sided, view.width, view.height
    )
    numbers = np.full(view.width * view.height, -1, dtype=np.intp)
    numbers[seen.pixels] = seen.triangles
    return numbers.reshape(view.height, view.width)


def _render_one(head: Head, view: View) -> NDArray[np.uint8]:
    fine = view.enlarged(SUPERSAMPLING)
    mesh = _assemble(head)
    seen = rasterise(
        project(mesh.points, fine), mesh.triangles, mesh.two_sided, fine.width, fine.height
    )
    picture = _background(head, fine)
    picture[seen.pixels] = _colour(head, mesh, seen, fine).T
    return _reduce(picture.reshape(fine.height, fine.width, 3))


def _assemble(head: Head) -> _Mesh:
    person, matrix = head.identity, rotation_matrix(head)
    ear = body.ear(person)
    parts = [(HEAD, head_surface(person, head.smile)), (EAR, ear), (EAR, body.mirrored(ear))]
    if person.hair_length > 0:
        parts.append((CURTAIN, body.curtain(person)))
    moved = [
        (k, Surface(s.base, place(s.points, matrix), turn(s.normals, matrix))) for k, s in parts
    ]
    # Glasses come last: they are too thin for the shadow map and cast no shadow.
    top = place(np.array([[0.0], [-0.35], [-0.12]], np.float32), matrix)[:, 0]
    moved += [(NECK, body.neck(person, top)), (TORSO, body.torso(person))]
    if person.glasses > 0:
        frame = body.glasses(person)
        moved.append(
            (GLASSES, Surface(frame.base, place(frame.points, matrix), turn(frame.normals, matrix)))
        )
    triangles, part = _topology(tuple(k for k, _ in moved))
    base, points, normals = (
        np.concatenate([getattr(s, name) for _, s in moved], axis=1)
        for name in ("base", "points", "normals")
    )
    return _Mesh(base, points, normals, triangles, part, (part == CURTAIN) | (part == GLASSES))


@cache
def _topology(parts: tuple[int, ...]) -> tuple[Ints, NDArray[np.intp]]:
    """Triangles (3, T) of the parts in this order, and the part of each triangle."""
    grids = {
        HEAD: (ROWS, COLUMNS, True),
        EAR: (body.EAR_ROWS, body.EAR_COLUMNS, True),
        CURTAIN: (body.CURTAIN_ROWS, body.CURTAIN_COLUMNS, False),
        NECK: (body.NECK_ROWS, body.NECK_COLUMNS, True),
        TORSO: (body.TORSO_ROWS, body.TORSO_COLUMNS, True),
    }
    triangles, kinds, start = [], [], 0
    for k, part in enumerate(parts):
        own = body.glasses_triangles() if part == GLASSES else grid_triangles(*grids[part])
        mirrored = part == EAR and EAR in parts[:k]
        triangles.append((own[:, ::-1] if mirrored else own) + start)
        kinds.append(np.full(len(own), part))
        start += int(own.max()) + 1
    return np.ascontiguousarray(np.concatenate(triangles).T), np.concatenate(kinds)


def _background(head: Head, view: View) -> Floats:
    """Two colours blended across the face crop, (pixels, 3) as sRGB."""
    half = 32 * view.scale / CROP_SCALE
    across = (np.arange(view.width, dtype=np.float32) + 0.5 - view.axis_x) / half
    share = ramp(across, -1.3, 1.3)[None, :, None]
    left, right = (np.asarray(c, np.float32) for c in (head.background_left, head.background_right))
    down = (np.arange(view.height, dtype=np.float32) + 0.5 - view.axis_y) / half
    fall = (1 - 0.06 * down)[:, None, None]
    return (((1 - share) * left + share * right) * fall).reshape(-1, 3)


def _colour(head: Head, mesh: _Mesh, seen: Coverage, view: View) -> Floats:
    """sRGB colours (3, P) of the covered pixels."""
    corners = mesh.triangles[:, seen.triangles]
    part = mesh.part[seen.triangles]
    base, points = _blend(mesh.base, corners, seen), _blend(mesh.points, corners, seen)
    normals = _blend(mesh.normals, corners, seen)
    normals /= np.sqrt(normals[0] ** 2 + normals[1] ** 2 + normals[2] ** 2)
    inside = (normals[2] < 0) & (part == CURTAIN)
    normals[:, inside] *= -1
    painted = _paint(head, part, base, points)
    painted.occlusion[inside] *= 0.45
    casts = slice(0, np.count_nonzero(mesh.part != GLASSES))
    nearest = light.shadow_map(head, mesh.points, mesh.triangles[:, casts], mesh.two_sided[casts])
    lit = light.lit_share(head, nearest, points, normals)
    lit = light.soften(lit, seen.pixels, view.width, view.height, round(view.scale / CROP_SCALE))
    squared = painted.colour * painted.colour
    linear = light.shade(head, squared, normals, painted.occlusion, lit, painted.gloss)
    return np.sqrt(np.maximum(linear, 0))


def _blend(values: Floats, corners: Ints, seen: Coverage) -> Floats:
    """Vertex values (3, V) at the covered pixels, (3, P)."""
    a, b, c = corners
    wa, wb, wc = seen.weights
    return np.stack([v[a] * wa + (v[b] * wb + v[c] * wc) for v in values])


def _paint(head: Head, part: NDArray[np.intp], base: Floats, points: Floats) -> paint.Paint:
    out = paint.plain(head.identity.skin, len(part))
    for kind in (HEAD, EAR, CURTAIN, NECK, TORSO, GLASSES):
        where = np.flatnonzero(part == kind)
        if where.size:
            out.put(where, _paint_part(head, kind, base[:, where], points[:, where]))
    return out


def _paint_part(head: Head, kind: int, base: Floats, points: Floats) -> paint.Paint:
    person = head.identity
    if kind == HEAD:
        return paint.paint_head(head, base)
    if kind == CURTAIN:
        return paint.paint_curtain(person, base)
    if kind == TORSO:
        return paint.paint_torso(person, points)
    if kind == GLASSES:
        return paint.plain(person.frame, base.shape[1], 0.05)
    some = paint.plain(person.skin, base.shape[1], 0.03)
    if kind == NECK:
        some.occlusion *= 0.35 + 0.5 * ramp(points[1], -0.95, -1.45)
    return some


def _reduce(picture: Floats) -> NDArray[np.uint8]:
    """Mean of SUPERSAMPLING x SUPERSAMPLING pixels, in an order that a flip preserves."""
    height, width, _ = picture.shape
    blocks = picture.reshape(height // 2, 2, width // 2, 2, 3)
    mean = (
        (blocks[:, 0, :, 0] + blocks[:, 0, :, 1]) + (blocks[:, 1, :, 0] + blocks[:, 1, :, 1])
    ) / 4
    return np.clip(np.rint(mean * 255), 0, 255).astype(np.uint8)
