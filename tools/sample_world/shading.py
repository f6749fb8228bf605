"""Node materials in a few words: a graph of procedural textures that ends in one principled surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

Socket = Any
Value = Any  # a socket, a number, or a colour

__all__ = ["Graph", "plain"]

Colour = tuple[float, float, float]


class Graph:
    """The node tree of a material or a world; each method adds one node and returns its output."""

    def __init__(self, owner: bpy.types.Material | bpy.types.World) -> None:
        self.tree = owner.node_tree
        self.coordinates: dict[str, Socket] = {}

    @classmethod
    def material(cls, name: str, label: int) -> tuple[bpy.types.Material, Graph]:
        """Make a material whose index pass is `label` + 1, so 0 marks pixels without a material."""
        material = bpy.data.materials.new(name)
        material.use_nodes = True
        material.pass_index = label + 1
        return material, cls(material)

    def node(self, kind: str, inputs: dict[str, Value] | None = None, **settings: Any) -> bpy.types.Node:
        node = self.tree.nodes.new(kind)
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            self.feed(node.inputs[key], value)
        return node

    def feed(self, socket: Socket, value: Value) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, tuple) and socket.type == "RGBA" and len(value) == 3:
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def where(self, kind: str = "position") -> Socket:
        """Return coordinates: world 'position', or the object's own ('object')."""
        if kind not in self.coordinates:
            if kind == "position":
                self.coordinates[kind] = self.node("ShaderNodeNewGeometry").outputs["Position"]
            else:
                self.coordinates[kind] = self.node("ShaderNodeTexCoord").outputs["Object"]
        return self.coordinates[kind]

    def attribute(self, name: str) -> Socket:
        return self.node("ShaderNodeAttribute", attribute_name=name).outputs["Fac"]

    def math(self, operation: str, a: Value, b: Value = 0.0, c: Value = 0.0) -> Socket:
        node = self.node("ShaderNodeMath", operation=operation)
        for socket, value in zip(node.inputs, (a, b, c), strict=False):
            self.feed(socket, value)
        return node.outputs[0]

    def below(self, value: Value, limit: Value) -> Socket:
        return self.math("LESS_THAN", value, limit)

    def ramp(self, value: Value, low: float, high: float, to_low: float = 0.0, to_high: float = 1.0) -> Socket:
        node = self.node("ShaderNodeMapRange", interpolation_type="SMOOTHSTEP")
        for socket, entry in zip(node.inputs, (value, low, high, to_low, to_high), strict=False):
            self.feed(socket, entry)
        return node.outputs[0]

    def noise(self, scale: float, detail: float = 4.0, at: Value = None, roughness: float = 0.55) -> Socket:
        vector = self.where() if at is None else at
        inputs = {"Vector": vector, "Scale": scale, "Detail": detail, "Roughness": roughness}
        return self.node("ShaderNodeTexNoise", inputs).outputs[0]

    def stretch(self, scale: Sequence[float], at: Value = None) -> Socket:
        vector = self.where() if at is None else at
        return self.node("ShaderNodeMapping", {"Vector": vector, "Scale": tuple(scale)}).outputs[0]

    def mix(self, factor: Value, a: Value, b: Value) -> Socket:
        """Mix two colours."""
        node = self.node("ShaderNodeMix", data_type="RGBA")
        for index, value in ((0, factor), (6, a), (7, b)):
            self.feed(node.inputs[index], value)
        return node.outputs[2]

    def blend(self, factor: Value, a: Value, b: Value) -> Socket:
        """Mix two numbers."""
        node = self.node("ShaderNodeMix", data_type="FLOAT")
        for index, value in ((0, factor), (2, a), (3, b)):
            self.feed(node.inputs[index], value)
        return node.outputs[0]

    def bump(self, height: Value, strength: float, distance_m: float) -> Socket:
        inputs = {"Height": height, "Strength": strength, "Distance": distance_m}
        return self.node("ShaderNodeBump", inputs).outputs[0]

    def surface(self, **inputs: Value) -> None:
        """Set inputs of the principled surface; Base_Color stands for 'Base Color'."""
        principled = next(n for n in self.tree.nodes if n.type == "BSDF_PRINCIPLED")
        for key, value in inputs.items():
            self.feed(principled.inputs[key.replace("_", " ")], value)


def plain(name: str, label: int, colour: Colour, roughness: float = 0.7, **inputs: Value) -> bpy.types.Material:
    """Make a material of one colour."""
    material, graph = Graph.material(name, label)
    graph.surface(Base_Color=colour, Roughness=roughness, **inputs)
    return material
