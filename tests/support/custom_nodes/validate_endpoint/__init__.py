"""Test-only: POST /validate, which comfy-test's execution level asks before it runs a workflow."""

import execution
from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, type] = {}


@PromptServer.instance.routes.post("/validate")
async def validate(request: web.Request) -> web.Response:
    """ComfyUI's own validation of a prompt, without queueing it."""
    prompt = (await request.json())["prompt"]
    valid, error, _, node_errors = await execution.validate_prompt("validate", prompt, None)
    answer = {"valid": valid, "error": error, "node_errors": node_errors}
    return web.json_response(answer, status=200 if valid else 400)
