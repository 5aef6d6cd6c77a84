// Drives the Go SDK v3: one JSON call a line in, one JSON answer a line out.
//
// "connect" makes a client under a name, by endpoint or by region; every other operation is NAME.METHOD of such a client, the
// method's first letter being free. Arguments are the fields of the method's request type, results those of its response
// type, both named as the SDK names them on the wire; "http_status" is added to results.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	dis "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/dis/v2"
)

type call struct {
	Operation string          `json:"operation"`
	Arguments json.RawMessage `json:"arguments"`
}

type connection struct {
	Name          string `json:"name"`
	AK            string `json:"ak"`
	SK            string `json:"sk"`
	SecurityToken string `json:"security_token"`
	ProjectID     string `json:"project_id"`
	Endpoint      string `json:"endpoint"`
	IAMEndpoint   string `json:"iam_endpoint"`
	Region        string `json:"region"`
}

var clients = map[string]*dis.DisClient{}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var answer map[string]any
		if result, err := carryOut(in.Bytes()); err != nil {
			answer = map[string]any{"error": describe(err)}
		} else {
			answer = map[string]any{"result": result}
		}
		if err := out.Encode(answer); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func carryOut(line []byte) (any, error) {
	var asked call
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	if asked.Operation == "connect" {
		return nil, connect(asked.Arguments)
	}
	name, method, _ := strings.Cut(asked.Operation, ".")
	client, known := clients[name]
	if !known {
		return nil, fmt.Errorf("no client %q", name)
	}
	if method != "" {
		method = strings.ToUpper(method[:1]) + method[1:]
	}
	function := reflect.ValueOf(client).MethodByName(method)
	if !function.IsValid() {
		return nil, fmt.Errorf("no method %q", method)
	}
	request := reflect.New(function.Type().In(0).Elem())
	decoder := json.NewDecoder(bytes.NewReader(asked.Arguments))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(request.Interface()); err != nil {
		return nil, err
	}
	returned := function.Call([]reflect.Value{request})
	if err, failed := returned[1].Interface().(error); failed {
		return nil, err
	}
	return fields(returned[0])
}

// fields is a response as a JSON object, with the status beside its fields.
func fields(response reflect.Value) (any, error) {
	text, err := json.Marshal(response.Interface())
	if err != nil {
		return nil, err
	}
	result := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&result); err != nil {
		return nil, err
	}
	result["http_status"] = response.Elem().FieldByName("HttpStatusCode").Int()
	return result, nil
}

func connect(arguments json.RawMessage) error {
	var to connection
	if err := json.Unmarshal(arguments, &to); err != nil {
		return err
	}
	keys := basic.NewCredentialsBuilder().WithAk(to.AK).WithSk(to.SK)
	if to.ProjectID != "" {
		keys = keys.WithProjectId(to.ProjectID)
	}
	if to.SecurityToken != "" {
		keys = keys.WithSecurityToken(to.SecurityToken)
	}
	if to.IAMEndpoint != "" {
		keys = keys.WithIamEndpointOverride(to.IAMEndpoint)
	}
	credentials, err := keys.SafeBuild()
	if err != nil {
		return err
	}
	builder := dis.DisClientBuilder().WithCredential(credentials)
	if to.Region != "" {
		builder = builder.WithRegion(region.NewRegion(to.Region, to.Endpoint))
	} else {
		builder = builder.WithEndpoint(to.Endpoint)
	}
	made, err := builder.SafeBuild()
	if err != nil {
		return err
	}
	clients[to.Name] = dis.NewDisClient(made)
	return nil
}

func describe(err error) map[string]any {
	kind := strings.TrimPrefix(reflect.TypeOf(err).String(), "*")
	kind = kind[strings.LastIndex(kind, ".")+1:]
	var refusal *sdkerr.ServiceResponseError
	if errors.As(err, &refusal) {
		return map[string]any{
			"class":      "ServiceResponseError",
			"code":       refusal.ErrorCode,
			"message":    refusal.ErrorMessage,
			"status":     refusal.StatusCode,
			"request_id": refusal.RequestId,
		}
	}
	return map[string]any{"class": kind, "message": err.Error()}
}
