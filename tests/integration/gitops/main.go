// What GitOps tools say of objects: Flux's kstatus, and a health check in the Lua interpreter that Argo CD embeds.
//
// It reads a list of {"object": …, "script": …} and writes a list of {"kstatus": …, "health": …}.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

type question struct {
	Object unstructured.Unstructured `json:"object"`
	Script string                    `json:"script"`
}

type answer struct {
	Kstatus string          `json:"kstatus"`
	Health  json.RawMessage `json:"health"`
}

func main() {
	var questions []question
	must(json.NewDecoder(os.Stdin).Decode(&questions))
	answers := []answer{}
	for _, each := range questions {
		result, err := status.Compute(&each.Object)
		must(err)
		answers = append(answers, answer{string(result.Status), health(each)})
	}
	must(json.NewEncoder(os.Stdout).Encode(answers))
}

// health runs a script as Argo CD runs one of argocd-cm: few libraries, the object as a global, one second.
func health(of question) json.RawMessage {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		must(state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	text, err := of.Object.MarshalJSON()
	must(err)
	object, err := luajson.Decode(state, text)
	must(err)
	state.SetGlobal("obj", object)
	must(state.DoString(of.Script))
	said, err := luajson.Encode(state.Get(-1))
	must(err)
	return said
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
