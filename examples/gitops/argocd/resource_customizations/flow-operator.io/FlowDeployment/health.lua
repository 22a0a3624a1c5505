-- A FlowDeployment follows kstatus: Ready, Reconciling, Stalled, observedGeneration.
-- https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
local hs = { status = "Progressing", message = "The operator has not looked at the latest change" }
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
for _, condition in ipairs(obj.status.conditions or {}) do
  if condition.status == "True" then
    if condition.type == "Ready" then
      return { status = "Healthy", message = condition.message }
    end
    if condition.type == "Stalled" then
      return { status = "Degraded", message = condition.message }
    end
  end
  if condition.type == "Ready" then
    hs.message = condition.message
  end
end
return hs
